// The forward pass: every member of the team walks through all layers. Few rows are shared out by columns of the weights, a
// phase for every op that needs what another wrote; of many, members take blocks through a layer at a time, and wait for
// nothing but what the blocks before left for their attention.
// The residual stream is float; what enters a product is rounded to the weights' type once.
#include "stack.h"

#include <map>
#include <optional>

#include "attention.h"
#include "silu_mul.h"

namespace baton {

namespace {

constexpr int64_t FEW_ROWS = 16;  // so few are normed by every member for itself: cheaper than to meet
constexpr int64_t LEAST_BLOCK = 48, LARGEST_BLOCK = 128;  // rows: every block reads all weights, and stays in a cache
constexpr int64_t BLOCKS_EACH = 2;                        // for every member, so that a slow one takes fewer
constexpr int64_t PAGE = 4096;

bool outside(const Batch& batch, const Model& model, const Pool& pool) {
    bool wrong = false;
    for (int64_t i = 0; batch.wanted && i < batch.num_wanted; i++)
        wrong |= (uint64_t)batch.wanted[i] >= (uint64_t)batch.num_tokens || (i && batch.wanted[i] <= batch.wanted[i - 1]);
    for (int64_t i = 0; i < batch.num_tokens; i++) {
        wrong |= (uint64_t)batch.token_ids[i] >= (uint64_t)model.vocab;
        wrong |= (uint64_t)batch.positions[i] >= (uint64_t)model.num_positions;
        wrong |= (uint64_t)batch.slot_blocks[i] >= (uint64_t)pool.num_blocks;
        wrong |= (uint64_t)batch.slot_offsets[i] >= (uint64_t)pool.block_tokens;
    }
    for (int64_t s = 0; s < batch.num_sequences; s++)
        for (int64_t i = 0; i * pool.block_tokens < batch.kv_lens[s]; i++)
            wrong |= i >= batch.table_stride ||
                     (uint64_t)batch.block_tables[s * batch.table_stride + i] >= (uint64_t)pool.num_blocks;
    return wrong;
}

// Two columns of sums at a time become one of the gated product.
template <class A>
struct Gate {
    A* to;
    int64_t stride;
    const float* bias;
    void operator()(int64_t row, Vec low, Vec high) const {
        store(to + row * stride, sizeof(A) == 2 ? rough_silu_mul(low, high) : silu_mul(low, high));
    }
};

// Rows of `stride` entries, `width` of them for a panel, that tiles go to.
template <class Tile, class To>
struct Rows {
    To* to;
    int64_t stride, width;
    Tile tile(int64_t row, int64_t panel, const float* bias) const {
        return {to + row * stride + panel * width, stride, bias};
    }
    void done(int64_t, int64_t, int64_t) const {}
};

}  // namespace

class Stack {
public:
    explicit Stack(const Model& model) : model(model) {}
    virtual ~Stack() = default;
    virtual void forward(Team& team, const Batch& batch, const Pool& pool, void* out) = 0;
    const Model model;
};

template <class T>
class StackOf : public Stack {
public:
    using A = typename Left<T>::Type;
    explicit StackOf(const Model& model) : Stack(model) { widths(); }

    void forward(Team& team, const Batch& batch, const Pool& pool, void* out) override {
        const int64_t rows = batch.num_tokens, count = std::max<int64_t>(1, num_blocks(rows, team.size, batch.num_decode));
        std::vector<RowBlock> blocks(count);
        for (int64_t i = 0; i < count; i++) {
            blocks[i].first = rows * i / count, blocks[i].rows = rows * (i + 1) / count - blocks[i].first;
            plan(blocks[i], batch, i ? blocks[i - 1].num_parts : 0);
        }
        attention_.grow(blocks[count - 1].num_parts, heads_of(model.layers[0]), team.size);
        const int64_t own = std::max(largest_block() * team.size, count > 1 ? 0 : rows);
        num_rows_ = rows;
        residual_ = residual_memory_.get<float>(rows * hidden_width_);
        qkv_ = qkv_memory_.get<float>(own * qkv_width_);
        normed_ = normed_memory_.get<A>(std::max(own, FEW_ROWS * team.size) * hidden_width_);
        attended_ = attended_memory_.get<A>((rows + own) * attended_width_);
        inner_ = inner_memory_.get<A>(own * inner_width_);
        team.run([&](int member) { pass(team, member, batch, pool, blocks, (A*)out); });
    }

private:
    Heads heads_of(const Layer& layer) const {
        return {model.num_heads, model.num_kv_heads, model.head_dim, layer.window, model.scale,
                model.eps,       layer.qk_norm,      model.cos,      model.sin};
    }

    // Rows end where a panel does, what is written there is 0 and is never read; and never a whole number of pages apart,
    // for then all rows of a tile want the same few lines of a first-level cache.
    void widths() {
        const auto width = [](int64_t entries, int64_t bytes) {
            const int64_t panels = round_up(entries, PANEL);
            return panels * bytes % PAGE ? panels : panels + PANEL;
        };
        hidden_width_ = width(model.hidden, sizeof(float));
        qkv_width_ = width((model.num_heads + 2 * model.num_kv_heads) * model.head_dim, sizeof(float));
        attended_width_ = width(model.num_heads * model.head_dim, sizeof(A));
        inner_width_ = width(model.inner, sizeof(A));
    }

    // Rows that go through the layers together, what their attention has to do, and how many layers they are through.
    struct RowBlock {
        int64_t first, rows;
        std::map<int64_t, Agenda> agendas;  // by window
        std::optional<Agenda> last;
        int64_t num_parts;  // with those of the blocks before
        std::atomic<int64_t> prepared{0}, done{0};
    };

    // Who goes through them, and in what memory: all rows by the whole team, or a block by one member.
    struct Part {
        Team& team;
        int member;
        int64_t first, rows;
        float* qkv;
        A *normed, *attended, *inner;
    };

    void plan(RowBlock& block, const Batch& batch, int64_t place) {
        block.num_parts = place;
        for (int64_t i = 0; i < model.num_layers; i++) {
            const Heads heads = heads_of(model.layers[i]);
            const auto [found, fresh] =
                block.agendas.try_emplace(heads.window, batch, heads, false, block.first, block.first + block.rows, place);
            if (fresh) block.num_parts = std::max(block.num_parts, found->second.num_parts);
        }
        block.last.emplace(batch, heads_of(model.layers[model.num_layers - 1]), true, block.first,
                           block.first + block.rows, place);
    }

    void pass(Team& team, int member, const Batch& batch, const Pool& pool, std::vector<RowBlock>& blocks, A* out) {
        const int64_t layers = model.num_layers, count = blocks.size();
        if (count == 1)
            for (int64_t index = 0; index < layers; index++)
                go_through(index, whole(team, member, batch.num_tokens), batch, pool, blocks[0], [] {});
        else
            team.share(member, layers * count, [&](int64_t piece) {
                RowBlock& block = blocks[piece % count];
                const int64_t index = piece / count;
                Team::await([&] { return block.done.load(std::memory_order_acquire) == index; });
                const Part part = alone(member, block.first, block.rows, index == layers - 1);
                go_through(index, part, batch, pool, block, [&] {
                    block.prepared.store(index + 1, std::memory_order_release);
                    for (const RowBlock& before : blocks) {
                        if (&before == &block) break;
                        Team::await([&] { return before.prepared.load(std::memory_order_acquire) > index; });
                    }
                });
                block.done.store(index + 1, std::memory_order_release);
            });
        int64_t rows = batch.num_tokens;
        if (rows != batch.num_wanted) {
            team.share(member, 1, [&](int64_t) { keep_wanted(batch); });
            rows = batch.num_wanted;
        }
        each_part(team, member, rows, [&](const Part& part) {
            finish(part, model.layers[layers - 1]);
            each_row(part, [&](int64_t row) {
                rms_norm(residual_ + row * hidden_width_, model.norm, model.hidden, model.eps, out + row * model.hidden);
            });
        });
    }

    // A layer, without what follows its attention in the last one. `meet` is called before the attention.
    template <class Meet>
    void go_through(int64_t index, const Part& part, const Batch& batch, const Pool& pool, const RowBlock& block,
                    const Meet& meet) {
        const bool last = index == model.num_layers - 1;
        const Layer& layer = model.layers[index];
        const Heads heads = heads_of(layer);
        const Agenda& agenda = last ? *block.last : block.agendas.at(layer.window);
        const Cache<T> cache{(T*)pool.kv + index * pool.layer_stride, pool.block_stride, pool.kv_stride,
                             pool.head_stride, pool.block_tokens, model.head_dim};
        if (index == 0) embed(part, batch);
        norm(part, layer.attention_norm);
        const int64_t skipped = last ? unwanted_columns(part, batch) : 0;
        linear<T>(part.team, part.member, part.normed, hidden_width_, part.rows, behind(layer.qkv, skipped),
                  Rows<Store, float>{part.qkv + skipped, qkv_width_, PANEL});
        float* qkv = part.qkv - part.first * qkv_width_;
        prepare(part.team, part.member, qkv, qkv_width_, batch, heads, cache, agenda, part.first, part.first + part.rows);
        meet();
        attend(part.team, part.member, qkv, qkv_width_, batch, heads, cache, agenda, attention_,
               part.attended - part.first * attended_width_, attended_width_);
        if (!last) finish(part, layer);
    }

    // Of the last layer's qkv: rows that nobody asked for leave keys and values behind, and query nothing.
    int64_t unwanted_columns(const Part& part, const Batch& batch) const {
        const int64_t queries = model.num_heads * model.head_dim;
        const bool wanted = batch.next_wanted(part.first) < part.first + part.rows;
        return wanted || queries % PANEL ? 0 : queries;
    }

    // The same weight without so many columns, whole panels of them.
    static Linear behind(Linear weight, int64_t columns) {
        weight.columns -= columns;
        weight.panels = (const T*)weight.panels + columns * weight.depth;
        if (weight.bias) weight.bias += columns;
        return weight;
    }

    // What follows a layer's attention.
    void finish(const Part& part, const Layer& layer) {
        const Rows<Add, float> sum_up{residual_ + part.first * hidden_width_, hidden_width_, PANEL};
        linear<T>(part.team, part.member, part.attended, attended_width_, part.rows, layer.o, sum_up);
        norm(part, layer.mlp_norm);
        linear<T>(part.team, part.member, part.normed, hidden_width_, part.rows, layer.gate_up,
                  Rows<Gate<A>, A>{part.inner, inner_width_, LANES});
        linear<T>(part.team, part.member, part.inner, inner_width_, part.rows, layer.down, sum_up);
    }

    void embed(const Part& part, const Batch& batch) {
        each_row(part, [&](int64_t row) {
            const T* from = (const T*)model.embedding + batch.token_ids[row] * model.hidden;
            for (int64_t i = 0; i < model.hidden; i += LANES)
                store_some(residual_ + row * hidden_width_ + i, load_some(from + i, model.hidden - i), model.hidden - i);
        });
    }

    int64_t largest_block() const {
        return std::min<int64_t>(LARGEST_BLOCK, LEFT_BYTES / (inner_width_ * sizeof(A)));
    }

    // 0 where blocks would be low, which then read weights too often, or fewer than members; or so few that others would
    // wait for the one with the decode rows.
    int64_t num_blocks(int64_t rows, int members, int64_t num_decode) const {
        const int64_t most = rows / LEAST_BLOCK, largest = largest_block();
        if (largest < LEAST_BLOCK || most < (num_decode ? BLOCKS_EACH * members : members)) return 0;
        return std::max((rows + largest - 1) / largest, std::min(BLOCKS_EACH * members, most));
    }

    Part whole(Team& team, int member, int64_t rows) {
        A* normed = normed_ + (rows <= FEW_ROWS ? member * FEW_ROWS * hidden_width_ : 0);
        return {team, member, 0, rows, qkv_, normed, attended_, inner_};
    }

    // What follows the last layer takes up what its attention left: that stands where the step's rows do.
    Part alone(int member, int64_t first, int64_t rows, bool keeps) {
        const int64_t start = member * largest_block();
        A* attended = attended_ + (keeps ? first : num_rows_ + start) * attended_width_;
        A *normed = normed_ + start * hidden_width_, *inner = inner_ + start * inner_width_;
        return {alone_, member, first, rows, qkv_ + start * qkv_width_, normed, attended, inner};
    }

    template <class Do>
    void each_part(Team& team, int member, int64_t rows, const Do& work) {
        const int64_t count = num_blocks(rows, team.size, 0);
        if (count == 0) return work(whole(team, member, rows));
        team.share(member, count, [&](int64_t piece) {
            const int64_t first = rows * piece / count;
            work(alone(member, first, rows * (piece + 1) / count - first, true));
        });
    }

    template <class Do>
    static void each_row(const Part& part, const Do& work) {
        part.team.share(part.member, (part.rows + ROWS_OF_PIECE - 1) / ROWS_OF_PIECE, [&](int64_t piece) {
            const int64_t first = part.first + piece * ROWS_OF_PIECE, end = part.first + part.rows;
            for (int64_t row = first; row < std::min(first + ROWS_OF_PIECE, end); row++) work(row);
        });
    }

    // After the last layer's attention only wanted rows go on: the others have left their keys and values.
    void keep_wanted(const Batch& batch) {
        for (int64_t i = 0; i < batch.num_wanted; i++) {
            const int64_t row = batch.wanted[i];
            std::copy_n(residual_ + row * hidden_width_, hidden_width_, residual_ + i * hidden_width_);
            std::copy_n(attended_ + row * attended_width_, attended_width_, attended_ + i * attended_width_);
        }
    }

    void norm(const Part& part, const float* weight) {
        const auto one = [&](int64_t row) {
            rms_norm(residual_ + row * hidden_width_, weight, model.hidden, model.eps,
                     part.normed + (row - part.first) * hidden_width_);
        };
        if (part.rows > FEW_ROWS) return each_row(part, one);
        for (int64_t row = part.first; row < part.first + part.rows; row++) one(row);
    }

    Team alone_{1};
    Scratch residual_memory_, qkv_memory_, normed_memory_, attended_memory_, inner_memory_;
    int64_t num_rows_, hidden_width_, qkv_width_, attended_width_, inner_width_;
    float *residual_, *qkv_;
    A *normed_, *attended_, *inner_;
    AttentionScratch<T> attention_;
};

}  // namespace baton

extern "C" {

baton::Stack* baton_stack_new(const baton::Model* model) {
    using namespace baton;
    if (model->dtype == BFLOAT16) return new StackOf<Bf16>(*model);
    if (model->dtype == FLOAT16) return new StackOf<Fp16>(*model);
    return new StackOf<float>(*model);
}

void baton_stack_free(baton::Stack* stack) { delete stack; }

// 0, or 1 when the batch names a token, position or block that there is not; then nothing was done. With a head, the
// logits of what came out follow at once.
int baton_stack_forward(baton::Stack* stack, baton::Team* team, const baton::Batch* batch, const baton::Pool* pool,
                        void* out, const baton::Linear* head, float* logits, int64_t* best, float* peaks) {
    const baton::Model& model = stack->model;
    if (baton::outside(*batch, model, *pool)) return 1;
    stack->forward(*team, *batch, *pool, out);
    if (head)
        baton_linear(team, model.dtype, out, model.hidden, batch->num_wanted, head, logits, best, peaks, nullptr);
    return 0;
}
}
