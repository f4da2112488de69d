// The gate of a gated feed-forward block.
#pragma once

#include "vectors.h"

namespace baton {

inline Vec silu_mul(Vec gate, Vec up) { return gate / (exponential(-gate) + 1.0f) * up; }

// The same where it is rounded to one in 256.
inline Vec rough_silu_mul(Vec gate, Vec up) { return gate * rough_reciprocal(rough_power(gate * -LOG2_E) + 1.0f) * up; }

}  // namespace baton
