// The forward pass: every member of the team walks through all layers, a phase for every op that needs what another wrote.
// The residual stream is float; what enters a product is rounded to the weights' type once.
#include "stack.h"

#include <map>

#include "attention.h"
#include "silu_mul.h"

namespace baton {

namespace {

constexpr int64_t FEW_ROWS = 16;  // so few are normed by every member for itself: cheaper than to meet

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
        normed_ = normed_memory_.get<A>(std::max(rows, FEW_ROWS * team.size) * hidden_width_);
        attended_ = attended_memory_.get<A>(rows * attended_width_);
        inner_ = inner_memory_.get<A>(rows * inner_width_);
        team.run([&](int member) { pass(team, member, batch, pool, agendas, final_agenda, (A*)out); });
    }

private:
    Heads heads_of(const Layer& layer) const {
        return {model.num_heads, model.num_kv_heads, model.head_dim, layer.window, model.scale,
                model.eps,       layer.qk_norm,      model.cos,      model.sin};
    }

    // Rows end where a panel does: what is written there is 0 and is never read.
    void widths() {
        hidden_width_ = round_up(model.hidden, PANEL);
        qkv_width_ = round_up((model.num_heads + 2 * model.num_kv_heads) * model.head_dim, PANEL);
        attended_width_ = round_up(model.num_heads * model.head_dim, PANEL);
        inner_width_ = round_up(model.inner, PANEL);
    }

    void pass(Team& team, int member, const Batch& batch, const Pool& pool, const std::map<int64_t, Agenda>& agendas,
              const Agenda& final_agenda, A* out) {
        int64_t rows = batch.num_tokens;
        const Rows<Add, float> sum_up{residual_, hidden_width_, PANEL};
        each_row(team, member, rows, [&](int64_t row) {
            const T* from = (const T*)model.embedding + batch.token_ids[row] * model.hidden;
            for (int64_t i = 0; i < model.hidden; i += LANES)
                store_some(residual_ + row * hidden_width_ + i, load_some(from + i, model.hidden - i), model.hidden - i);
        });
        for (int64_t index = 0; index < model.num_layers; index++) {
            const Layer& layer = model.layers[index];
            const Heads heads = heads_of(layer);
            const bool last = index + 1 == model.num_layers;
            const Agenda& agenda = last ? final_agenda : agendas.at(layer.window);
            const A* normed = norm(team, member, rows, layer.attention_norm);
            linear<T>(team, member, normed, hidden_width_, rows, layer.qkv, Rows<Store, float>{qkv_, qkv_width_, PANEL});
            const Cache<T> cache{(T*)pool.kv + index * pool.layer_stride, pool.block_stride, pool.kv_stride,
                                 pool.head_stride, pool.block_tokens, model.head_dim};
            prepare(team, member, qkv_, qkv_width_, batch, heads, cache, agenda, 0, rows);
            attend(team, member, qkv_, qkv_width_, batch, heads, cache, agenda, attention_, attended_, attended_width_);
            if (last && rows != batch.num_wanted) {
                team.share(member, 1, [&](int64_t) { keep_wanted(batch); });
                rows = batch.num_wanted;
            }
            linear<T>(team, member, attended_, attended_width_, rows, layer.o, sum_up);
            normed = norm(team, member, rows, layer.mlp_norm);
            linear<T>(team, member, normed, hidden_width_, rows, layer.gate_up, Rows<Gate<A>, A>{inner_, inner_width_, LANES});
            linear<T>(team, member, inner_, inner_width_, rows, layer.down, sum_up);
        }
        each_row(team, member, rows, [&](int64_t row) {
            rms_norm(residual_ + row * hidden_width_, model.norm, model.hidden, model.eps, out + row * model.hidden);
        });
    }

    template <class Do>
    static void each_row(Team& team, int member, int64_t rows, const Do& work) {
        team.share(member, (rows + ROWS_OF_PIECE - 1) / ROWS_OF_PIECE, [&](int64_t piece) {
            for (int64_t row = piece * ROWS_OF_PIECE; row < std::min((piece + 1) * ROWS_OF_PIECE, rows); row++) work(row);
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

    const A* norm(Team& team, int member, int64_t rows, const float* weight) {
        const bool few = rows <= FEW_ROWS;
        A* out = normed_ + (few ? member * FEW_ROWS * hidden_width_ : 0);
        const auto one = [&](int64_t row) {
            rms_norm(residual_ + row * hidden_width_, weight, model.hidden, model.eps, out + row * hidden_width_);
        };
        if (few)
            for (int64_t row = 0; row < rows; row++) one(row);
        else
            each_row(team, member, rows, one);
        return out;
    }

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

// 0, or 1 when the batch names a token, position or block that there is not; then nothing was done.
int baton_stack_forward(baton::Stack* stack, baton::Team* team, const baton::Batch* batch, const baton::Pool* pool,
                        void* out) {
    if (baton::outside(*batch, stack->model, *pool)) return 1;
    stack->forward(*team, *batch, *pool, out);
    return 0;
}
}
