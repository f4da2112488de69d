// The gate of a gated feed-forward block.
#pragma once

#include "vectors.h"

namespace baton {

inline Vec silu_mul(Vec gate, Vec up) { return gate / (exponential(-gate) + 1.0f) * up; }

}  // namespace baton
