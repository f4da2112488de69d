// The forward pass: every member of the team walks through all layers. Few rows are shared out by columns of the weights, a
// phase for every op that needs what another wrote; of many, members take blocks that need no other's until attention.
// The residual stream is float; what enters a product is rounded to the weights' type once.
#include "stack.h"

#include <map>

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
    void operator()(int64_t row, Vec low, Vec high) const { store(to + row * stride, silu_mul(low, high)); }
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
    using Stack::Stack;
    using A = typename Left<T>::Type;

    void forward(Team& team, const Batch& batch, const Pool& pool, void* out) override {
        std::map<int64_t, Agenda> agendas;
        for (int64_t i = 0; i < model.num_layers; i++) {
            const Heads heads = heads_of(model.layers[i]);
            auto [found, fresh] = agendas.try_emplace(heads.window, batch, heads, false);
            if (fresh) attention_.grow(found->second, heads, team.size);
        }
        const Agenda final_agenda(batch, heads_of(model.layers[model.num_layers - 1]), true);
        const int64_t rows = batch.num_tokens;
        widths();
        residual_ = residual_memory_.get<float>(rows * hidden_width_);
        qkv_ = qkv_memory_.get<float>(rows * qkv_width_);
        normed_ = normed_memory_.get<A>(std::max(rows, LARGEST_BLOCK * team.size) * hidden_width_);
        attended_ = attended_memory_.get<A>(rows * attended_width_);
        inner_ = inner_memory_.get<A>(std::max(rows, largest_block() * team.size) * inner_width_);
        team.run([&](int member) { pass(team, member, batch, pool, agendas, final_agenda, (A*)out); });
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

    // Rows that are gone through together: all of them by the whole team, or a block by one member.
    struct Part {
        Team& team;
        int member;
        int64_t first, rows;
        A *normed, *inner;  // for these rows alone
    };

    void pass(Team& team, int member, const Batch& batch, const Pool& pool, const std::map<int64_t, Agenda>& agendas,
              const Agenda& final_agenda, A* out) {
        int64_t rows = batch.num_tokens;
        const int64_t last = model.num_layers - 1;
        for (int64_t index = 0; index <= last; index++) {
            const Layer& layer = model.layers[index];
            const Heads heads = heads_of(layer);
            const Agenda& agenda = index == last ? final_agenda : agendas.at(layer.window);
            const Cache<T> cache{(T*)pool.kv + index * pool.layer_stride, pool.block_stride, pool.kv_stride,
                                 pool.head_stride, pool.block_tokens, model.head_dim};
            each_part(team, member, rows, [&](const Part& part) {
                if (index == 0)
                    embed(part, batch);
                else
                    finish(part, model.layers[index - 1]);
                norm(part, layer.attention_norm);
                const int64_t skipped = index == last ? unwanted_columns(part, batch) : 0;
                linear<T>(part.team, part.member, part.normed, hidden_width_, part.rows, behind(layer.qkv, skipped),
                          Rows<Store, float>{qkv_ + part.first * qkv_width_ + skipped, qkv_width_, PANEL});
                prepare(part.team, part.member, qkv_, qkv_width_, batch, heads, cache, agenda, part.first,
                        part.first + part.rows);
            });
            attend(team, member, qkv_, qkv_width_, batch, heads, cache, agenda, attention_, attended_, attended_width_);
        }
        if (rows != batch.num_wanted) {
            team.share(member, 1, [&](int64_t) { keep_wanted(batch); });
            rows = batch.num_wanted;
        }
        each_part(team, member, rows, [&](const Part& part) {
            finish(part, model.layers[last]);
            each_row(part, [&](int64_t row) {
                rms_norm(residual_ + row * hidden_width_, model.norm, model.hidden, model.eps, out + row * model.hidden);
            });
        });
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
        linear<T>(part.team, part.member, attended_ + part.first * attended_width_, attended_width_, part.rows, layer.o,
                  sum_up);
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

    // 0 where blocks would be low, which then read weights too often, or fewer than members.
    int64_t num_blocks(int64_t rows, int members) const {
        const int64_t most = rows / LEAST_BLOCK, largest = largest_block();
        if (largest < LEAST_BLOCK || most < members) return 0;
        return round_up(std::max((rows + largest - 1) / largest, std::min(BLOCKS_EACH * members, most)), members);
    }

    template <class Do>
    void each_part(Team& team, int member, int64_t rows, const Do& work) {
        const int64_t count = num_blocks(rows, team.size), block = largest_block();
        if (count == 0) {
            A* normed = normed_ + (rows <= FEW_ROWS ? member * FEW_ROWS * hidden_width_ : 0);
            return work(Part{team, member, 0, rows, normed, inner_});
        }
        team.share(member, count, [&](int64_t piece) {
            const int64_t first = rows * piece / count, end = rows * (piece + 1) / count;
            work(Part{alone_, 0, first, end - first, normed_ + member * block * hidden_width_,
                      inner_ + member * block * inner_width_});
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
    int64_t hidden_width_, qkv_width_, attended_width_, inner_width_;
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
