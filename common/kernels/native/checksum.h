// xxh3 with 64 bits, no seed, over more than 240 bytes that are on their way from one place to another. Each of them is
// read once, so that what was summed up is what was written, whoever changes the source meanwhile.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace baton {

constexpr int64_t LEAST_BYTES = 241;  // xxh3 is another function below
constexpr int64_t STRIPE = 64;
constexpr int64_t STRIPES = 16;
constexpr int64_t ROUND = STRIPE * STRIPES;

constexpr uint64_t PRIME32_1 = 0x9E3779B1, PRIME32_2 = 0x85EBCA77, PRIME32_3 = 0xC2B2AE3D;
constexpr uint64_t PRIME64_1 = 0x9E3779B185EBCA87, PRIME64_2 = 0xC2B2AE3D27D4EB4F, PRIME64_3 = 0x165667B19E3779F9,
                   PRIME64_4 = 0x85EBCA77C2B2AE63, PRIME64_5 = 0x27D4EB2F165667C5;
alignas(64) constexpr uint64_t FIRST_SUMS[8] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3,
                                                PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
constexpr int64_t SECRET_BYTES = 192;
alignas(64) constexpr uint8_t SECRET[SECRET_BYTES] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d,
    0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0,
    0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0,
    0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b,
    0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac,
    0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51,
    0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34,
    0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb, 0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49,
    0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8,
    0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b,
    0x40, 0x7e};

// A stripe's secret begins 8 bytes behind the one before it: each is kept where one load gets it.
struct StripeSecrets {
    alignas(64) uint8_t bytes[STRIPES * STRIPE];
};
constexpr StripeSecrets spread() {
    StripeSecrets spread{};
    for (int64_t i = 0; i < STRIPES * STRIPE; i++) spread.bytes[i] = SECRET[i / STRIPE * 8 + i % STRIPE];
    return spread;
}
constexpr StripeSecrets SECRETS = spread();

#ifdef __AVX512F__
typedef uint64_t Words __attribute__((vector_size(64)));

inline Words products(Words w) { return (Words)_mm512_mul_epu32((__m512i)w, (__m512i)(w >> 32)); }
inline Words neighbours(Words w) { return (Words)_mm512_shuffle_epi32((__m512i)w, (_MM_PERM_ENUM)0x4e); }
inline void stream(uint8_t* to, Words w) { _mm512_stream_si512((__m512i*)to, (__m512i)w); }
#else
typedef uint64_t Words __attribute__((vector_size(32)));

inline Words products(Words w) { return (Words)_mm256_mul_epu32((__m256i)w, (__m256i)(w >> 32)); }
inline Words neighbours(Words w) { return (Words)_mm256_shuffle_epi32((__m256i)w, 0x4e); }
inline void stream(uint8_t* to, Words w) { _mm256_stream_si256((__m256i*)to, (__m256i)w); }
#endif

constexpr int PARTS = STRIPE / sizeof(Words);

inline Words words_at(const void* from) {
    Words w;
    std::memcpy(&w, from, sizeof w);
    return w;
}

inline uint64_t word_at(const uint8_t* from) {
    uint64_t word;
    std::memcpy(&word, from, sizeof word);
    return word;
}

// Once: the compiler may not look at the bytes a second time, when somebody else may have changed them.
inline Words read_once(const uint8_t* from) {
    Words words = words_at(from);
#ifdef __AVX512F__
    asm("" : "+v"(words));
#else
    asm("" : "+x"(words));
#endif
    return words;
}

enum class Way { STORE, STREAM };

// Of `count` bytes, at least LEAST_BYTES. Streamed bytes go past the caches, to an address that is a multiple of 64; they
// are there for others after a fence.
template <Way way>
class Passage {
public:
    Passage(const uint8_t* from, uint8_t* to, int64_t count) : from_(from), to_(to), count_(count) {
        for (int part = 0; part < PARTS; part++) sums_[part] = words_at((const uint8_t*)FIRST_SUMS + part * sizeof(Words));
    }

    uint64_t checksum() {
        const int64_t rounds = (count_ - 1) / ROUND;
        for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
            for (int64_t stripe = 0; stripe < STRIPES; stripe++)
                pass(round * ROUND + stripe * STRIPE, SECRETS.bytes + stripe * STRIPE);
            scramble();
        }
        int64_t done = rounds * ROUND;
        const uint8_t* secret = SECRETS.bytes;
        for (; done + STRIPE < count_; secret += STRIPE, done += STRIPE) pass(done, secret);
        // the last stripe ends where the bytes do: some of it may have passed before, and is summed up as it was written
        std::memcpy(to_ + done, from_ + done, count_ - done);
        for (int part = 0; part < PARTS; part++)
            add(part, words_at(to_ + count_ - STRIPE + part * sizeof(Words)), SECRET + SECRET_BYTES - STRIPE - 7);
        return merged();
    }

private:
    void pass(int64_t at, const uint8_t* secret) {
        for (int part = 0; part < PARTS; part++) {
            const int64_t place = at + part * sizeof(Words);
            const Words words = read_once(from_ + place);
            if (way == Way::STORE) std::memcpy(to_ + place, &words, sizeof words);
            if (way == Way::STREAM) stream(to_ + place, words);
            add(part, words, secret);
        }
    }

    void add(int part, Words words, const uint8_t* secret) {
        sums_[part] += products(words ^ words_at(secret + part * sizeof(Words))) + neighbours(words);
    }

    void scramble() {
        for (int part = 0; part < PARTS; part++) {
            const Words secret = words_at(SECRET + SECRET_BYTES - STRIPE + part * sizeof(Words));
            sums_[part] = (sums_[part] ^ (sums_[part] >> 47) ^ secret) * PRIME32_1;
        }
    }

    uint64_t merged() const {
        uint64_t sums[8];
        std::memcpy(sums, sums_, sizeof sums);
        uint64_t total = (uint64_t)count_ * PRIME64_1;
        for (int pair = 0; pair < 4; pair++) {
            const uint64_t low = sums[2 * pair] ^ word_at(SECRET + 11 + 16 * pair);
            const uint64_t high = sums[2 * pair + 1] ^ word_at(SECRET + 19 + 16 * pair);
            const unsigned __int128 product = (unsigned __int128)low * high;
            total += (uint64_t)product ^ (uint64_t)(product >> 64);
        }
        total = (total ^ (total >> 37)) * 0x165667919E3779F9;
        return total ^ (total >> 32);
    }

    const uint8_t* from_;
    uint8_t* to_;
    const int64_t count_;
    Words sums_[PARTS];
};

}  // namespace baton
