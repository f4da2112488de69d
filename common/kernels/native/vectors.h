// Sixteen floats at a time, and the stored types they come from. The compiler maps them to what the target has: one
// AVX-512 register or two of AVX2. Knows nothing of what is computed.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <limits>

namespace baton {

constexpr int64_t LANES = 16;

typedef float Vec __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Bits __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

struct Bf16 {
    uint16_t bits;
};
struct Fp16 {
    uint16_t bits;
};

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

inline Vec splat(float x) { return Vec{} + x; }

inline Vec load(const float* from) {
    Vec v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

inline Vec load(const Bf16* from) {
#ifdef __AVX512F__
    return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)), 16);
#else
    Halves h;
    std::memcpy(&h, from, sizeof h);
    return (Vec)(__builtin_convertvector(h, Bits) << 16);
#endif
}

inline Vec load(const Fp16* from) {
#ifdef __AVX512F__
    return (Vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)from));
#else
    Vec v;
    __m256 low = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from));
    __m256 high = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(from + 8)));
    std::memcpy(&v, &low, sizeof low);
    std::memcpy((char*)&v + sizeof low, &high, sizeof high);
    return v;
#endif
}

inline void store(float* to, Vec v) { std::memcpy(to, &v, sizeof v); }

// Rounded to the upper half of its bits, to nearest, ties to even; a NaN stays one. The lower half is to be left out.
inline Bits upper_half(Vec v) {
    const Bits bits = (Bits)v, rounded = bits + 0x7fff + ((bits >> 16) & 1);
    return v == v ? rounded : Bits{} + 0x7fc00000u;
}

inline void store(Bf16* to, Vec v) {
#ifdef __AVX512BF16__
    __m256bh rounded = _mm512_cvtneps_pbh((__m512)v);
    std::memcpy(to, &rounded, sizeof rounded);
#else
    Halves h = __builtin_convertvector(upper_half(v) >> 16, Halves);
    std::memcpy(to, &h, sizeof h);
#endif
}

inline void store(Fp16* to, Vec v) {
#ifdef __AVX512F__
    _mm256_storeu_si256((__m256i*)to, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
#else
    __m256 half;
    for (int part = 0; part < 2; part++) {
        std::memcpy(&half, (char*)&v + part * sizeof half, sizeof half);
        _mm_storeu_si128((__m128i*)(to + 8 * part), _mm256_cvtps_ph(half, _MM_FROUND_TO_NEAREST_INT));
    }
#endif
}

// The first `count` entries; the rest are 0, and not read.
template <class T>
inline Vec load_some(const T* from, int64_t count) {
    if (count >= LANES) return load(from);
    T entries[LANES] = {};
    for (int64_t i = 0; i < count; i++) entries[i] = from[i];
    return load(entries);
}

template <class T>
inline void store_some(T* to, Vec v, int64_t count) {
    if (count >= LANES) return store(to, v);
    T entries[LANES];
    store(entries, v);
    for (int64_t i = 0; i < count; i++) to[i] = entries[i];
}

template <class T>
inline float read_one(T from) {
    T entries[LANES] = {from};
    return load(entries)[0];
}

inline float sum(Vec v) {
#ifdef __AVX512F__
    return _mm512_reduce_add_ps((__m512)v);
#else
    float total = 0;
    for (int i = 0; i < LANES; i++) total += v[i];
    return total;
#endif
}

inline float max(Vec v) {
#ifdef __AVX512F__
    return _mm512_reduce_max_ps((__m512)v);
#else
    float most = v[0];
    for (int i = 1; i < LANES; i++) most = v[i] > most ? v[i] : most;
    return most;
#endif
}

inline bool has_nan(Vec v) {
#ifdef __AVX512F__
    return _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
#else
    const Ints wrong = v != v;
    int any = 0;
    for (int i = 0; i < LANES; i++) any |= wrong[i];
    return any;
#endif
}

// Whether an entry is not a number or infinite upwards.
inline bool has_peak_beyond(Vec v) {
    const Vec most = splat(std::numeric_limits<float>::max());
#ifdef __AVX512F__
    return _mm512_cmp_ps_mask((__m512)v, (__m512)most, _CMP_NLE_UQ);
#else
    const Ints fine = v <= most;
    int all = -1;
    for (int i = 0; i < LANES; i++) all &= fine[i];
    return !all;
#endif
}

// Whether an entry is greater than the limit's; one that is not a number is not.
inline bool any_beyond(Vec v, Vec limit) {
#ifdef __AVX512F__
    return _mm512_cmp_ps_mask((__m512)v, (__m512)limit, _CMP_GT_OQ);
#else
    const Ints beyond = v > limit;
    int any = 0;
    for (int i = 0; i < LANES; i++) any |= beyond[i];
    return any;
#endif
}

// Entry i where bit i is 1, minus infinity elsewhere.
inline Vec only_open(Vec v, uint32_t bits) {
    const Vec closed = splat(-std::numeric_limits<float>::infinity());
#ifdef __AVX512F__
    return (Vec)_mm512_mask_mov_ps((__m512)closed, (__mmask16)bits, (__m512)v);
#else
    const Bits lanes = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    return ((Bits{} + bits) & lanes) != 0 ? v : closed;
#endif
}

// The second one where either is not a number.
inline Vec larger(Vec a, Vec b) {
#ifdef __AVX512F__
    return (Vec)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return a > b ? a : b;
#endif
}

// Within 1e-6 of the true value, relatively; 0 below -104, where not even a subnormal is left.
__attribute__((always_inline)) inline Vec exponential(Vec x) {
#ifdef __AVX512F__
    // The larger of the two is the second one where either is not a number.
    const __m512 bounded = _mm512_max_ps((__m512)splat(-104.0f), _mm512_min_ps((__m512)splat(90.0f), (__m512)x));
    const __m512 scaled = _mm512_mul_ps(bounded, (__m512)splat(1.44269504f));
    const __m512 whole = _mm512_roundscale_ps(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    Vec rest = (Vec)_mm512_fmsub_ps(bounded, (__m512)splat(1.44269504f), whole) + (Vec)bounded * 1.92596300e-8f;
#else
    Vec bounded = x < 88.0f ? x : splat(88.0f);
    bounded = bounded < -87.3f ? splat(-87.3f) : bounded;
    const float magic = 12582912.0f;  // adding it rounds to a whole number, which its low bits then hold
    Vec shifted = bounded * 1.44269504f + magic;
    Vec rest = bounded * 1.44269504f - (shifted - magic) + bounded * 1.92596300e-8f;
#endif
    Vec power = splat(1.5353362e-4f);
    power = power * rest + 1.3398874e-3f;
    power = power * rest + 9.6184373e-3f;
    power = power * rest + 5.5503325e-2f;
    power = power * rest + 2.4022648e-1f;
    power = power * rest + 6.9314720e-1f;
    power = power * rest + 1.0f;
#ifdef __AVX512F__
    return (Vec)_mm512_scalef_ps((__m512)power, whole);
#else
    Ints exponent = ((Ints)shifted - (Ints)splat(magic)) << 23;
    Vec result = (Vec)((Ints)power + exponent);
    result = x < -87.3f ? Vec{} : result;
    return x != x ? x : result;
#endif
}

constexpr float LOG2_E = 1.44269504f;
// 2^x, good to a part in 13,000: for weights that are rounded to one in 256.
inline Vec rough_power(Vec x) {
#ifdef __AVX512F__
    const Vec rest = (Vec)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);  // x less its floor
    Vec power = splat(7.802453e-2f);
    power = power * rest + 2.2606716e-1f;
    power = power * rest + 6.9583359e-1f;
    power = power * rest + 9.9992502e-1f;
    return (Vec)_mm512_scalef_ps((__m512)power, (__m512)x);  // which takes the floor itself
#else
    return exponential(x * (1 / LOG2_E));
#endif
}

// 1 / x, as good.
inline Vec rough_reciprocal(Vec x) {
#ifdef __AVX512F__
    return (Vec)_mm512_rcp14_ps((__m512)x);
#else
    return 1.0f / x;
#endif
}

}  // namespace baton
