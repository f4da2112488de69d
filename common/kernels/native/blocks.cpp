// Blocks of a pool: summed up where they lie, or on their way into another pool.
#include "checksum.h"

namespace baton {

template <Way way>
void pass_blocks(const uint8_t* from, uint8_t* to, int64_t size, int64_t count, const int64_t* blocks,
                 const int64_t* rows, uint64_t* sums) {
    for (int64_t i = 0; i < count; i++) {
        uint8_t* into = way == Way::STAY ? nullptr : to + size * rows[i];
        sums[i] = Passage<way>(from + size * blocks[i], into, size).checksum();
    }
}

}  // namespace baton

extern "C" {

// Blocks have `size` bytes, at least `LEAST_BYTES`.
void baton_sum_blocks(const uint8_t* pool, int64_t size, int64_t count, const int64_t* blocks, uint64_t* sums) {
    baton::pass_blocks<baton::Way::STAY>(pool, nullptr, size, count, blocks, nullptr, sums);
}

// Row `rows[i]` of `to` becomes block `blocks[i]` of `from`, in order; the two lie apart.
void baton_carry_blocks(const uint8_t* from, uint8_t* to, int64_t size, int64_t count, const int64_t* blocks,
                        const int64_t* rows, uint64_t* sums) {
    using namespace baton;
    if (((uintptr_t)to | (uintptr_t)size) % STRIPE) {
        pass_blocks<Way::STORE>(from, to, size, count, blocks, rows, sums);
    } else {
        pass_blocks<Way::STREAM>(from, to, size, count, blocks, rows, sums);
        _mm_sfence();
    }
}
}
