// Attention of a whole step: shares decode rows and tiles of chunks out among the team's members.
#pragma once

#include <vector>

#include "chunk_attention.h"
#include "scratch.h"
#include "team.h"

namespace baton {

struct DecodeItem {
    int64_t row, kv_head, part;
    int64_t place;    // of the row's and head's parts
    int64_t counter;  // of (row, KV head)
};

struct ChunkItem {
    int64_t sequence, kv_head, first, count;
};

// What there is to do for rows [first, end) of a step, the same for all layers of one window. Long tiles come first, so that
// no member ends late. In the last layer a tile begins at the first row that is wanted, and those without one are left
// out. Results of parts go to places from `place` on.
struct Agenda {
    std::vector<DecodeItem> decode;
    std::vector<ChunkItem> chunks;
    int64_t num_parts, first_chunk;
    mutable std::vector<std::atomic<int>> pending;  // parts of (row, KV head) to come; whoever does the last sets it again

    Agenda(const Batch& batch, const Heads& heads, bool last, int64_t first, int64_t end, int64_t place)
        : num_parts(place), first_chunk(decodes(heads.head_dim) ? batch.num_decode : 0) {
        int64_t num_counters = 0;
        for (int64_t row = first; row < std::min(end, first_chunk); row++)
            for (int64_t head = 0; head < heads.num_kv_heads; head++, num_counters++) {
                const int64_t count = baton::num_parts(batch, heads, row);
                for (int64_t part = 0; part < count; part++) decode.push_back({row, head, part, num_parts, num_counters});
                num_parts += count;
            }
        pending = std::vector<std::atomic<int>>(num_counters);
        for (const DecodeItem& item : decode) pending[item.counter]++;
        for (int64_t sequence = first_chunk; sequence < batch.num_sequences; sequence++) {
            const int64_t start = batch.query_starts[sequence];
            const int64_t from = std::max(first, start), to = std::min(end, batch.query_starts[sequence + 1]);
            const int64_t tiles = (to - from + queries_per_tile(heads) - 1) / queries_per_tile(heads);
            for (int64_t tile = tiles - 1; tile >= 0; tile--) {
                const int64_t stop = from + (to - from) * (tile + 1) / tiles, begin = from + (to - from) * tile / tiles;
                const int64_t wanted = last ? batch.next_wanted(begin) : begin;
                for (int64_t head = 0; head < heads.num_kv_heads && wanted < stop; head++)
                    chunks.push_back({sequence, head, wanted - start, stop - wanted});
            }
        }
    }
};

// What members work in, and what they leave for each other.
template <class T>
struct AttentionScratch {
    Scratch parts, own;

    void grow(int64_t num_parts, const Heads& heads, int members) {
        parts.get<float>(num_parts * part_floats(heads));
        own.get<char>(ChunkScratch<T>::bytes(heads) * members);
    }
};

constexpr int64_t FEW_ITEMS = 8;      // pieces of a step's decode rows, for every member of a team
constexpr int64_t ROWS_OF_PIECE = 64;

// A phase of the team's run: rotates keys of rows [first, end) that are no decode rows, and writes their KV. `qkv` is where
// row 0 of the step would be.
template <class T>
void prepare(Team& team, int member, float* qkv, int64_t stride, const Batch& batch, const Heads& heads,
             const Cache<T>& cache, const Agenda& agenda, int64_t first, int64_t end) {
    first = std::max(first, batch.query_starts[agenda.first_chunk]);
    team.share(member, std::max<int64_t>(0, end - first + ROWS_OF_PIECE - 1) / ROWS_OF_PIECE, [&](int64_t piece) {
        const int64_t start = first + piece * ROWS_OF_PIECE;
        for (int64_t row = start; row < std::min(start + ROWS_OF_PIECE, end); row++)
            for (int64_t head = 0; head < heads.num_kv_heads; head++)
                write_kv(qkv + row * stride, heads, cache, head, batch, row);
    });
}

// A phase of the team's run: attends for an agenda's rows. Chunks have been prepared, decode rows write their own KV. `qkv`
// and `out` are where row 0 of the step would be.
template <class T, class Out>
void attend(Team& team, int member, float* qkv, int64_t stride, const Batch& batch, const Heads& heads,
            const Cache<T>& cache, const Agenda& agenda, AttentionScratch<T>& scratch, Out* out, int64_t out_stride) {
    const auto look_ahead = [&](int64_t i, const T** blocks) {
        std::fill_n(blocks, BLOCKS_AHEAD, cache.first);
        if (i >= (int64_t)agenda.decode.size()) return;
        const DecodeItem& item = agenda.decode[i];
        const int64_t token = first_visible(batch.kv_lens[item.row] - 1, heads.window) + item.part * PART_TOKENS;
        const int64_t first = token / cache.block_tokens, last = (batch.kv_lens[item.row] - 1) / cache.block_tokens;
        for (int64_t n = 0; n < BLOCKS_AHEAD && first + n <= last; n++)
            blocks[n] = cache.key(batch.block_tables[item.row * batch.table_stride + first + n], item.kv_head, 0);
    };
    const auto decode = [&](int64_t i) {
        const DecodeItem& item = agenda.decode[i];
        const T* after[BLOCKS_AHEAD];
        look_ahead(i + 1, after);
        float* parts = scratch.parts.template get<float>(0) + item.place * part_floats(heads);
        attend_part(qkv + item.row * stride, item.row, item.kv_head, item.part, heads, cache, batch, parts,
                    agenda.pending[item.counter], out + item.row * out_stride, after);
    };
    const int64_t items = agenda.decode.size(), chunks = agenda.chunks.size();
    const int64_t pieces = std::min(items, FEW_ITEMS * team.size);
    ChunkScratch<T> own(heads, scratch.own.template get<char>(0) + member * ChunkScratch<T>::bytes(heads));
    team.share(member, chunks + pieces, [&](int64_t i) {
        if (i >= chunks) {
            const int64_t piece = i - chunks;
            for (int64_t n = items * piece / pieces; n < items * (piece + 1) / pieces; n++) decode(n);
            return;
        }
        const ChunkItem& item = agenda.chunks[i];
        const int64_t row = batch.query_starts[item.sequence];
        attend_tile(qkv + row * stride, stride, item.first, item.count, batch.positions[row], item.kv_head, heads, cache,
                    batch.block_tables + item.sequence * batch.table_stride, own, out + row * out_stride, out_stride);
    });
}

}  // namespace baton
