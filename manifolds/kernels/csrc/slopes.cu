// Weights of a tile's backward products, and the gradients of its close pairs, on a device
// (patches.h).
#include "patches.h"

namespace {

struct Lines {
    const float *row_base, *row_grad, *column_base, *column_grad;
};

template <int FUNCTION, bool SOFTPLUS>
struct Slopes {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p, Lines lines, Parts parts) {
        GC_SHARED(float, levels, WARPS * HEIGHT);
        GC_SHARED(double, shares, 2 * WARPS);
        const Patch patch(t.block(), p.rows, p.columns);
        const float factor = (float)p.factor, bias = (float)p.bias, h = p.coupled ? 1.0f : 0.0f;
        const int64_t column = patch.column + t.warp() * STEP + t.lane();
        float column_level[SPAN];
        for (int v = 0; v < SPAN; ++v) column_level[v] = 0;
        double factor_sum = 0, weight_sum = 0;
        int close = 0;
        for (int64_t i = patch.row; i < patch.row_end; ++i) {
            const float a = p.a[i], row_base = lines.row_base[i], row_grad = lines.row_grad[i];
            float level = 0, by_factor = 0, by_bias = 0;
            for (int v = 0; v < SPAN; ++v) {
                const int64_t j = column + 32 * v;
                if (j >= patch.column_end) continue;
                const float b = p.b[j];
                const Scored s =
                    scored<FUNCTION>(p, i, j, a, b, p.product[i * p.product_ld + j]);
                float weight;
                if constexpr (SOFTPLUS) {
                    const float l = gc_fma(factor, s.score, bias), e = gc_exp(-gc_abs(l));
                    weight = row_grad * ((l > 0.0f ? 1.0f : e) / (1.0f + e));
                } else {
                    const float scaled = factor * s.score;
                    weight = row_grad * gc_exp(scaled + row_base) +
                             lines.column_grad[j] * gc_exp(scaled + lines.column_base[j]);
                }
                weight = s.out ? 0.0f : weight;
                by_bias += weight;
                by_factor = gc_fma(weight, s.score, by_factor);
                weight *= factor * gc_score_slope<FUNCTION>(s.u, s.score);
                // What would become denormal slows the products after it.
                weight = gc_abs(weight) < GC_TINY ? 0.0f : weight;
                close += s.close;
                p.out[i * p.out_ld + j] = s.close ? GC_INFINITY : weight;
                level = gc_fma(weight, gc_fma(h, b, 1.0f), level);
                column_level[v] = gc_fma(weight, gc_fma(h, a, 1.0f), column_level[v]);
            }
            factor_sum += (double)by_factor;
            weight_sum += SOFTPLUS ? (double)by_bias : 0.0;
            level = t.sum(level);
            if (t.lane() == 0) levels[t.warp() * HEIGHT + (i - patch.row)] = level;
        }
        for (int v = 0; v < SPAN; ++v)
            if (column + 32 * v < patch.column_end)
                parts.column_sum[patch.at_row * p.columns + column + 32 * v] = column_level[v];
        close = t.sum(close);
        if (t.lane() == 0 && close > 0) t.count(p.close, close);
        factor_sum = t.sum(factor_sum), weight_sum = t.sum(weight_sum);
        if (t.lane() == 0) shares[t.warp()] = factor_sum, shares[WARPS + t.warp()] = weight_sum;
        t.sync();
        const int line = t.index();
        if (line < HEIGHT && patch.row + line < patch.row_end) {
            float sum = 0;
            for (int w = 0; w < WARPS; ++w) sum += levels[w * HEIGHT + line];
            parts.row_sum[patch.at_column * p.rows + patch.row + line] = sum;
        }
        if (line < 2) {
            double sum = 0;
            for (int w = 0; w < WARPS; ++w) sum += shares[line * WARPS + w];
            parts.totals[line * t.blocks() + t.block()] = sum;
        }
    }
};

// dL/du of a close pair, with what it adds to dL/dfactor and dL/dbias.
struct Share {
    double weight, factor, bias;
};

GC_DEVICE Share share_of(const Block& p, const Weights& w, const Form& f, int64_t i, int64_t j) {
    const double score = near_score(p.function, f.u, f.v), l = p.factor * score + p.bias;
    double weight;
    if (p.softplus) {
        const double e = std::exp(-std::fabs(l));
        weight = w.row_grad[i] * ((l > 0 ? 1 : e) / (1 + e));
    } else {
        weight = w.row_grad[i] * std::exp(l - w.row_base[i]) +
                 w.column_grad[j] * std::exp(l - w.column_base[j]);
    }
    const double slope = near_slope(p.function, f.u, f.v, score);
    return Share{weight * p.factor * slope, weight * score, weight};
}

struct CloseRows {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p, Weights w, double* totals) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= p.rows || !repairs(p).open()) return;
        double by_factor = 0, by_bias = 0, by_c = 0;
        const float* x = p.x + i * p.d;
        gc_row_marks(t, i, 0, p.columns, marks_of(p, GC_INFINITY), [&](int64_t j) {
            const float* y = p.y + j * p.d;
            const Form f = gc_form(t, p.space, x, y, p.d, p.c);
            const Share s = share_of(p, w, f, i, j);
            gc_add_pull(t, p.space, x, y, p.d, p.c, f, s.weight, w.x + i * p.d);
            by_factor += s.factor;
            by_bias += s.bias;
            by_c += pull_c(p.space, p.c, f.pair, f.u, s.weight);
        });
        if (t.lane() != 0) return;
        totals[i] = by_factor;
        totals[p.rows + i] = by_bias;
        totals[2 * p.rows + i] = by_c;
    }
};

struct CloseColumns {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p, Weights w) {
        if (!repairs(p).open()) return;
        gc_column_marks(t, p.rows, p.columns, t.block() * 32, marks_of(p, GC_INFINITY),
                        [&](int64_t i, int64_t j) {
                            const float *x = p.x + i * p.d, *y = p.y + j * p.d;
                            const Form f = gc_form(t, p.space, y, x, p.d, p.c);
                            const Share s = share_of(p, w, f, i, j);
                            gc_add_pull(t, p.space, y, x, p.d, p.c, f, s.weight, w.y + j * p.d);
                        });
    }
};

// Weights of close pairs, or of a refused tile, to 0.
struct Clear {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p) {
        if (*p.close == 0) return;
        const bool refused = *p.close > p.limit;
        const Patch patch(t.block(), p.rows, p.columns);
        for (int64_t i = patch.row; i < patch.row_end; ++i)
            for (int64_t j = patch.column + t.index(); j < patch.column_end; j += THREADS) {
                float& w = p.out[i * p.out_ld + j];
                if (refused || w == GC_INFINITY) w = 0.0f;
            }
    }
};

}  // namespace

// As manifolds_sums_backward of the host, close pairs included: their gradients go to `weights`,
// dL/dc through them to totals[2].
GC_EXPORT int manifolds_sums_backward(const Block* block, const float* row_base,
                                      const float* row_grad, const float* column_base,
                                      const float* column_grad, double* row_level,
                                      double* column_level, double* totals,
                                      const Weights* weights, const Place* place) {
    const Block& p = *block;
    const Lines lines{row_base, row_grad, column_base, column_grad};
    const int64_t up = gc_ceil(p.rows, HEIGHT), across = gc_ceil(p.columns, WIDTH);
    Work work(place);
    const Parts parts = parts_of(work, p, false);
    double* close_totals = work.take<double>(3 * p.rows);
    if (!work.enough()) return GC_NO_WORK;
    int status = 0;
#define GC_CALL(F)                                                                               \
    status = p.softplus ? gc_launch<Slopes<F, true>>(up * across, place, p, lines, parts)        \
                        : gc_launch<Slopes<F, false>>(up * across, place, p, lines, parts)
    GC_FUNCTIONS(p.function, GC_CALL)
#undef GC_CALL
    GC_TRY(status);
    const Gate added{p.close, 0, p.limit}, close{p.close, 1, p.limit};
    GC_TRY(add_parts<float>(place, parts.row_sum, across, p.rows, row_level, added));
    GC_TRY(add_parts<float>(place, parts.column_sum, up, p.columns, column_level, added));
    GC_TRY(gc_launch<AddTotals>(2, place, (const double*)parts.totals, up * across, totals, added));
    GC_TRY(gc_launch<CloseRows>(gc_ceil(p.rows, WARPS), place, p, *weights, close_totals));
    GC_TRY(gc_launch<AddTotals>(3, place, (const double*)close_totals, p.rows, totals, close));
    GC_TRY(gc_launch<CloseColumns>(gc_ceil(p.columns, 32), place, p, *weights));
    return gc_launch<Clear>(gc_patches(p.rows, p.columns), place, p);
}
