// Tiles of pairwise logits (scores.h): sums over rows and columns, and the weights of the backward
// products.
//
// forward adds exp(l), or log(1 + exp(l)), to the sums of rows and columns; backward turns g into
// w = dL/du and adds up what reaches the levels. The partner of a row has no part in either. Close
// pairs are left to the caller: forward marks their logits with -inf, backward their weights with
// inf, and beyond `limit` of them nothing is added.
// Blocks of STRIP rows are summed one after the other whatever the number of threads, so that
// results do not depend on it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "abi.h"
#include "scores.h"

namespace {

constexpr int64_t STRIP = 32;  // rows that share one set of column sums
constexpr int64_t RUN = 512;   // columns whose values stay in the first cache
constexpr float EMPTY = -std::numeric_limits<float>::infinity();

// What the backward pass knows of the lines: weight = grad exp(logit + base).
struct Lines {
    const float *row_base, *row_grad, *column_base, *column_grad;
};

// Results of one strip.
struct Strip {
    std::vector<float> column_top, column_sum;
    double factor_sum = 0, weight_sum = 0;
    int64_t close = 0;
};

// One run of a row: forms and scores; `out` is 0 for pairs of the sums, -inf for close pairs and
// partners, so that score + out leaves exp with a true 0.
struct Run {
    float u[RUN], score[RUN], weight[RUN], out[RUN];
    int64_t partner;  // its place in the run, or -1
};

template <int FUNCTION>
GC_INLINE void scores(int64_t n, Run& r) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) r.score[j] = gc_score<FUNCTION>(r.u[j]);
}

// weight *= factor dF/du, true zeros for what would become denormal.
template <int FUNCTION>
GC_INLINE void slopes(float factor, int64_t n, Run& r) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
        float weight = r.weight[j] * (factor * gc_score_slope<FUNCTION>(r.u[j], r.score[j]));
        r.weight[j] = gc_abs(weight) < GC_TINY ? 0.0f : weight;
    }
}

// u, score and none of the columns from..to of row i; gives the number of close pairs.
GC_INLINE int64_t evaluate(const Block& p, int64_t i, int64_t from, int64_t to, Run& r) {
    const float* g = p.product + i * p.product_ld + from;
    const float* b = p.b + from;
    const int64_t n = to - from, partner = p.partner + i - from;
    const float a = p.a[i], m = p.coupled ? 1.0f + a : 1.0f, k = (float)p.k;
    const float share = (float)p.share, far = (float)p.far;
    int32_t close = 0;
#pragma omp simd reduction(+ : close)
    for (int64_t j = 0; j < n; ++j) {
        float base = gc_fma(m, b[j], a);
        float u = gc_fma(-k, g[j], base);
        bool near = gc_close(u, base, share, far);
        r.u[j] = near ? 1.0f : u;
        r.out[j] = near ? EMPTY : 0.0f;
        close += near;
    }
    r.partner = partner >= 0 && partner < n ? partner : -1;
    if (r.partner >= 0) {
        close -= r.out[partner] != 0.0f;
        r.out[partner] = EMPTY;
        r.u[partner] = 1.0f;
    }
#define GC_CALL(F) scores<F>(n, r)
    GC_FUNCTIONS(p.function, GC_CALL)
#undef GC_CALL
    return close;
}

GC_CLONES void forward_strip(const Block& p, int64_t start, Strip& s, float* row_top,
                             float* row_sum) {
    const int64_t stop = std::min(start + STRIP, p.rows), n = p.columns;
    float* top = s.column_top.data();
    float* sum = s.column_sum.data();
    const float factor = (float)p.factor, bias = (float)p.bias;
    Run r;
    for (int64_t j = 0; j < n; ++j) top[j] = EMPTY;
    for (int64_t i = start; i < stop; ++i) {
        float highest = EMPTY;
        for (int64_t from = 0; from < n; from += RUN) {
            const int64_t length = std::min(RUN, n - from);
            s.close += evaluate(p, i, from, from + length, r);
            float* l = p.out + i * p.out_ld + from;
            float* above = top + from;
#pragma omp simd reduction(max : highest)
            for (int64_t j = 0; j < length; ++j) {
                float value = gc_fma(factor, r.score[j], bias) + r.out[j];
                l[j] = value;
                highest = value > highest ? value : highest;
                above[j] = value > above[j] ? value : above[j];
            }
        }
        row_top[i] = highest;
    }
    for (int64_t j = 0; j < n; ++j) sum[j] = 0;
    for (int64_t i = start; i < stop; ++i) {
        const float base = row_top[i] == EMPTY ? 0.0f : row_top[i];
        double total = 0;
        for (int64_t from = 0; from < n; from += RUN) {
            const int64_t length = std::min(RUN, n - from);
            const float* l = p.out + i * p.out_ld + from;
            float part = 0;
            if (p.softplus) {
#pragma omp simd reduction(+ : part)
                for (int64_t j = 0; j < length; ++j) {
                    float up = l[j] > 0.0f ? l[j] : 0.0f;
                    part += up + gc_log1p(gc_exp(-gc_abs(l[j])));
                }
            } else {
                const float* above = top + from;
                float* column = sum + from;
#pragma omp simd reduction(+ : part)
                for (int64_t j = 0; j < length; ++j) {
                    part += gc_exp(l[j] - base);
                    column[j] += gc_exp(l[j] - (above[j] == EMPTY ? 0.0f : above[j]));
                }
            }
            total += part;
        }
        row_sum[i] = (float)total;
    }
}

GC_CLONES void backward_strip(const Block& p, const Lines& lines, int64_t start, Strip& s,
                              float* row_level) {
    const int64_t stop = std::min(start + STRIP, p.rows), n = p.columns;
    float* sum = s.column_sum.data();
    const float factor = (float)p.factor, bias = (float)p.bias;
    Run r;
    for (int64_t j = 0; j < n; ++j) sum[j] = 0;
    for (int64_t i = start; i < stop; ++i) {
        const float m = p.coupled ? 1.0f + p.a[i] : 1.0f, h = p.coupled ? 1.0f : 0.0f;
        const float row_base = lines.row_base[i], row_grad = lines.row_grad[i];
        double level = 0;
        for (int64_t from = 0; from < n; from += RUN) {
            const int64_t length = std::min(RUN, n - from);
            s.close += evaluate(p, i, from, from + length, r);
            float level_part = 0, factor_part = 0, weight_part = 0;
            if (p.softplus) {
#pragma omp simd reduction(+ : factor_part, weight_part)
                for (int64_t j = 0; j < length; ++j) {
                    float l = gc_fma(factor, r.score[j], bias);
                    float e = gc_exp(-gc_abs(l));
                    float weight = row_grad * ((l > 0.0f ? 1.0f : e) / (1.0f + e));
                    weight = r.out[j] < 0.0f ? 0.0f : weight;
                    weight_part += weight;
                    factor_part = gc_fma(weight, r.score[j], factor_part);
                    r.weight[j] = weight;
                }
            } else {
                const float* column_base = lines.column_base + from;
                const float* column_grad = lines.column_grad + from;
#pragma omp simd reduction(+ : factor_part)
                for (int64_t j = 0; j < length; ++j) {
                    // Rounded as in the forward pass, so that the weights of a line add up to one.
                    float scaled = gc_fma(factor, r.score[j], bias);
                    float weight = row_grad * gc_exp(scaled + row_base) +
                                   column_grad[j] * gc_exp(scaled + column_base[j]);
                    weight = r.out[j] < 0.0f ? 0.0f : weight;
                    factor_part = gc_fma(weight, r.score[j], factor_part);
                    r.weight[j] = weight;
                }
            }
#define GC_CALL(F) slopes<F>(factor, length, r)
            GC_FUNCTIONS(p.function, GC_CALL)
#undef GC_CALL
            float* w = p.out + i * p.out_ld + from;
            const float* b = p.b + from;
            float* column = sum + from;
#pragma omp simd reduction(+ : level_part)
            for (int64_t j = 0; j < length; ++j) {
                w[j] = r.weight[j] - r.out[j];  // inf for close pairs
                level_part += r.weight[j] * gc_fma(h, b[j], 1.0f);
                column[j] = gc_fma(r.weight[j], m, column[j]);
            }
            if (r.partner >= 0) w[r.partner] = 0.0f;
            level += level_part;
            s.factor_sum += factor_part;
            s.weight_sum += weight_part;
        }
        row_level[i] = (float)level;
    }
}

// (top, sum) of lines += (other_top, other_sum): log sum exp kept as its maximum and a sum.
GC_CLONES void merge_strips(float* top, float* sum, const float* other_top,
                            const float* other_sum, int64_t n) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
        float high = top[j] > other_top[j] ? top[j] : other_top[j];
        float base = high == EMPTY ? 0.0f : high;
        sum[j] = sum[j] * gc_exp(top[j] - base) + other_sum[j] * gc_exp(other_top[j] - base);
        top[j] = high;
    }
}

}  // namespace

// Adds a block to the sums of its rows and columns (top and sum) and gives the largest logit of each
// line of the block. `close` counts the pairs left out.
GC_EXPORT int manifolds_sums_forward(const Block* block, double* row_top, double* row_sum,
                                     double* column_top, double* column_sum,
                                     double* tile_row_top, double* tile_column_top,
                                     int64_t threads) {
    const Block& p = *block;
    const int64_t rows = p.rows, columns = p.columns;
    const int64_t strips = (rows + STRIP - 1) / STRIP;
    std::vector<Strip> parts(strips);
    std::vector<float> tops(rows), sums(rows);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < strips; ++t) {
        parts[t].column_top.resize(columns);
        parts[t].column_sum.resize(columns);
        forward_strip(p, t * STRIP, parts[t], tops.data(), sums.data());
    }
    *p.close = 0;
    for (const Strip& part : parts) *p.close += part.close;
    if (*p.close > p.limit) return 0;
    for (int64_t i = 0; i < rows; ++i) {
        tile_row_top[i] = tops[i];
        if (p.softplus)
            row_sum[i] += sums[i];
        else
            gc_merge(row_top[i], row_sum[i], tops[i], sums[i]);
    }
    if (p.softplus) return 0;
    Strip& whole = parts[0];
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t from = 0; from < columns; from += RUN) {
        const int64_t length = std::min(RUN, columns - from);
        for (int64_t t = 1; t < strips; ++t)
            merge_strips(whole.column_top.data() + from, whole.column_sum.data() + from,
                         parts[t].column_top.data() + from, parts[t].column_sum.data() + from,
                         length);
    }
    for (int64_t j = 0; j < columns; ++j) {
        tile_column_top[j] = whole.column_top[j];
        gc_merge(column_top[j], column_sum[j], whole.column_top[j], whole.column_sum[j]);
    }
    return 0;
}

// Weights w = dL/du of a block into `out`; adds sum_j w (1 + h B) and sum_i w (1 + h A) to the
// levels, and sum of G F and of G (dL/dfactor, dL/dbias) to `totals`.
GC_EXPORT int manifolds_sums_backward(const Block* block, const float* row_base,
                                      const float* row_grad, const float* column_base,
                                      const float* column_grad, double* row_level,
                                      double* column_level, double* totals, const Weights*,
                                      int64_t threads) {
    const Block& p = *block;
    const Lines lines{row_base, row_grad, column_base, column_grad};
    const int64_t rows = p.rows, columns = p.columns;
    const int64_t strips = (rows + STRIP - 1) / STRIP;
    std::vector<Strip> parts(strips);
    std::vector<float> levels(rows);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < strips; ++t) {
        parts[t].column_sum.resize(columns);
        backward_strip(p, lines, t * STRIP, parts[t], levels.data());
    }
    *p.close = 0;
    for (const Strip& part : parts) *p.close += part.close;
    if (*p.close > p.limit) return 0;
    for (const Strip& part : parts) {
        totals[0] += part.factor_sum;
        totals[1] += part.weight_sum;
    }
    for (int64_t i = 0; i < rows; ++i) row_level[i] += levels[i];
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (const Strip& part : parts) sum += part.column_sum[j];
        column_level[j] += sum;
    }
    return 0;
}
