// Blocks of a pool, copied into another one and summed up on the way.
#include "checksum.h"

namespace baton {

template <Way way>
void carry_blocks(const uint8_t* from, uint8_t* to, int64_t size, int64_t count, const int64_t* blocks,
                  const int64_t* rows, uint64_t* sums) {
    for (int64_t i = 0; i < count; i++)
        sums[i] = Passage<way>(from + size * blocks[i], to + size * rows[i], size).checksum();
}

}  // namespace baton

extern "C" {

// Row `rows[i]` of `to` becomes block `blocks[i]` of `from`, in order; the two lie apart. Blocks have `size` bytes, at
// least `LEAST_BYTES`.
void baton_carry_blocks(const uint8_t* from, uint8_t* to, int64_t size, int64_t count, const int64_t* blocks,
                        const int64_t* rows, uint64_t* sums) {
    using namespace baton;
    if (((uintptr_t)to | (uintptr_t)size) % STRIPE) {
        carry_blocks<Way::STORE>(from, to, size, count, blocks, rows, sums);
    } else {
        carry_blocks<Way::STREAM>(from, to, size, count, blocks, rows, sums);
        _mm_sfence();
    }
}
}
