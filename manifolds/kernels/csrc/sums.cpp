// Tiles of pairwise logits: sums over rows and columns, and the weights of the backward products.
//
// With raw products g = <X_i, Y_j> of a block (rows x columns), levels A, B (manifolds/kernels/
// spaces.py) and a score F:
//
//     u = A_i + B_j (1 + h A_i) - k g        l = factor F(u) + bias
//
// forward adds exp(l), or log(1 + exp(l)), to the sums of rows and columns; backward turns g into
// w = dL/du and adds up what reaches the levels. The partner of a row has no part in either. Close
// pairs, u <= share (A_i + B_j (1 + h A_i)) or u > far, are left to the caller: forward marks their
// logits with -inf, backward their weights with inf, and beyond `limit` of them nothing is added.
// Blocks of STRIP rows are summed one after the other whatever the number of threads, so that
// results do not depend on it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "abi.h"
#include "epilogue.h"

namespace {

constexpr int64_t STRIP = 32;  // rows that share one set of column sums
constexpr int64_t RUN = 512;   // columns whose values stay in the first cache
constexpr float TINY = 7.5231638e-37f;  // 2^-120: smaller weights would become denormals in w Y
constexpr float EMPTY = -std::numeric_limits<float>::infinity();
constexpr float FULL = std::numeric_limits<float>::infinity();

enum Function { IDENTITY, SHIFTED, ROOT, ARCOSH, ARCOSH2, ARC, ARC2 };

struct Block {
    const float* product;
    int64_t product_ld;
    float* out;  // logits (forward) or weights (backward); may be `product` itself
    int64_t out_ld;
    int64_t rows, columns;
    const float *a, *b;  // levels
    int64_t coupled, function, softplus;
    int64_t partner;  // column of row 0's partner, which may lie outside
    float k, factor, bias, share, far;
    // backward
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

// u, score and none of the columns from..to of row i; gives the number of close pairs.
GC_INLINE int64_t evaluate(const Block& p, int64_t i, int64_t from, int64_t to, Run& r) {
    const float* g = p.product + i * p.product_ld + from;
    const float* b = p.b + from;
    const int64_t n = to - from, partner = p.partner + i - from;
    const float a = p.a[i], m = p.coupled ? 1.0f + a : 1.0f;
    int32_t close = 0;
#pragma omp simd reduction(+ : close)
    for (int64_t j = 0; j < n; ++j) {
        float base = gc_fma(m, b[j], a);
        float u = gc_fma(-p.k, g[j], base);
        bool near = (u <= p.share * base) | (u > p.far);
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
    switch (p.function) {
        case IDENTITY:
        case SHIFTED: {
            const float shift = p.function == SHIFTED ? 1.0f : 0.0f;
            for (int64_t j = 0; j < n; ++j) r.score[j] = r.u[j] + shift;
            break;
        }
        case ROOT:
#pragma omp simd
            for (int64_t j = 0; j < n; ++j) r.score[j] = gc_sqrt(r.u[j]);
            break;
        case ARCOSH:
        case ARCOSH2:
#pragma omp simd
            for (int64_t j = 0; j < n; ++j) r.score[j] = gc_acosh1p(r.u[j]);
            break;
        default:
#pragma omp simd
            for (int64_t j = 0; j < n; ++j)
                r.score[j] = gc_atan2(gc_sqrt(r.u[j] * (2.0f - r.u[j])), 1.0f - r.u[j]);
    }
    if (p.function == ARCOSH2 || p.function == ARC2)
        for (int64_t j = 0; j < n; ++j) r.score[j] *= r.score[j];
    return close;
}

// weight *= factor dF/du, true zeros for what would become denormal.
GC_INLINE void times_slope(const Block& p, int64_t n, Run& r) {
    switch (p.function) {
        case IDENTITY:
        case SHIFTED:
            for (int64_t j = 0; j < n; ++j) r.weight[j] *= p.factor;
            break;
        case ROOT:
            for (int64_t j = 0; j < n; ++j) r.weight[j] *= 0.5f * p.factor / r.score[j];
            break;
        case ARCOSH:
        case ARCOSH2:
#pragma omp simd
            for (int64_t j = 0; j < n; ++j)
                r.weight[j] *= p.factor / gc_sqrt(r.u[j] * (r.u[j] + 2.0f));
            break;
        default:
#pragma omp simd
            for (int64_t j = 0; j < n; ++j)
                r.weight[j] *= p.factor / gc_sqrt(r.u[j] * (2.0f - r.u[j]));
    }
    if (p.function == ARCOSH2 || p.function == ARC2)
#pragma omp simd
        for (int64_t j = 0; j < n; ++j) r.weight[j] *= 2.0f * gc_sqrt(r.score[j]);
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
        float weight = r.weight[j];
        r.weight[j] = gc_abs(weight) < TINY ? 0.0f : weight;
    }
}

GC_CLONES void forward_strip(const Block& p, int64_t start, Strip& s, float* row_top,
                             float* row_sum) {
    const int64_t stop = std::min(start + STRIP, p.rows), n = p.columns;
    float* top = s.column_top.data();
    float* sum = s.column_sum.data();
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
                float value = gc_fma(p.factor, r.score[j], p.bias) + r.out[j];
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

GC_CLONES void backward_strip(const Block& p, int64_t start, Strip& s, float* row_level) {
    const int64_t stop = std::min(start + STRIP, p.rows), n = p.columns;
    float* sum = s.column_sum.data();
    Run r;
    for (int64_t j = 0; j < n; ++j) sum[j] = 0;
    for (int64_t i = start; i < stop; ++i) {
        const float m = p.coupled ? 1.0f + p.a[i] : 1.0f, h = p.coupled ? 1.0f : 0.0f;
        const float row_base = p.row_base[i], row_grad = p.row_grad[i];
        double level = 0;
        for (int64_t from = 0; from < n; from += RUN) {
            const int64_t length = std::min(RUN, n - from);
            s.close += evaluate(p, i, from, from + length, r);
            float level_part = 0, factor_part = 0, weight_part = 0;
            if (p.softplus) {
#pragma omp simd reduction(+ : factor_part, weight_part)
                for (int64_t j = 0; j < length; ++j) {
                    float l = gc_fma(p.factor, r.score[j], p.bias);
                    float e = gc_exp(-gc_abs(l));
                    float weight = row_grad * ((l > 0.0f ? 1.0f : e) / (1.0f + e));
                    weight = r.out[j] < 0.0f ? 0.0f : weight;
                    weight_part += weight;
                    factor_part = gc_fma(weight, r.score[j], factor_part);
                    r.weight[j] = weight;
                }
            } else {
                const float* column_base = p.column_base + from;
                const float* column_grad = p.column_grad + from;
#pragma omp simd reduction(+ : factor_part)
                for (int64_t j = 0; j < length; ++j) {
                    float scaled = p.factor * r.score[j];
                    float weight = row_grad * gc_exp(scaled + row_base) +
                                   column_grad[j] * gc_exp(scaled + column_base[j]);
                    weight = r.out[j] < 0.0f ? 0.0f : weight;
                    factor_part = gc_fma(weight, r.score[j], factor_part);
                    r.weight[j] = weight;
                }
            }
            times_slope(p, length, r);
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

void merge(double& top, double& sum, double other_top, double other_sum) {
    if (other_top == EMPTY) {
        sum += other_sum;  // 0, or NaN
    } else if (other_top > top) {
        sum = sum * std::exp(top - other_top) + other_sum;
        top = other_top;
    } else {
        sum += other_sum * std::exp(other_top - top);
    }
}

Block block(const float* product, int64_t product_ld, float* out, int64_t out_ld, int64_t rows,
            int64_t columns, const float* a, const float* b, const int64_t* options,
            const double* scalars) {
    Block p{};
    p.product = product, p.product_ld = product_ld, p.out = out, p.out_ld = out_ld;
    p.rows = rows, p.columns = columns, p.a = a, p.b = b;
    p.coupled = options[0], p.function = options[1], p.softplus = options[2];
    p.partner = options[3];
    p.k = (float)scalars[0], p.factor = (float)scalars[1], p.bias = (float)scalars[2];
    p.share = (float)scalars[3], p.far = (float)scalars[4];
    return p;
}

}  // namespace

// Adds a block to the sums of its rows and columns (top and sum) and gives the largest logit of each
// line of the block. `close` counts the pairs left out.
GC_EXPORT int manifolds_sums_forward(const float* product, int64_t product_ld, float* out,
                                     int64_t out_ld, int64_t rows, int64_t columns, const float* a,
                                     const float* b, const int64_t* options, const double* scalars,
                                     double* row_top, double* row_sum, double* column_top,
                                     double* column_sum, double* tile_row_top,
                                     double* tile_column_top, int64_t limit, int64_t* close,
                                     int64_t threads) {
    const Block p = block(product, product_ld, out, out_ld, rows, columns, a, b, options, scalars);
    const int64_t strips = (rows + STRIP - 1) / STRIP;
    std::vector<Strip> parts(strips);
    std::vector<float> tops(rows), sums(rows);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < strips; ++t) {
        parts[t].column_top.resize(columns);
        parts[t].column_sum.resize(columns);
        forward_strip(p, t * STRIP, parts[t], tops.data(), sums.data());
    }
    *close = 0;
    for (const Strip& part : parts) *close += part.close;
    if (*close > limit) return 0;
    for (int64_t i = 0; i < rows; ++i) {
        tile_row_top[i] = tops[i];
        if (p.softplus)
            row_sum[i] += sums[i];
        else
            merge(row_top[i], row_sum[i], tops[i], sums[i]);
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
        merge(column_top[j], column_sum[j], whole.column_top[j], whole.column_sum[j]);
    }
    return 0;
}

// Weights w = dL/du of a block into `out`; adds sum_j w (1 + h B) and sum_i w (1 + h A) to the
// levels, and sum of G F and of G (dL/dfactor, dL/dbias) to `totals`.
GC_EXPORT int manifolds_sums_backward(const float* product, int64_t product_ld, float* out,
                                      int64_t out_ld, int64_t rows, int64_t columns, const float* a,
                                      const float* b, const int64_t* options,
                                      const double* scalars, const float* row_base,
                                      const float* row_grad, const float* column_base,
                                      const float* column_grad, double* row_level,
                                      double* column_level, double* totals, int64_t limit,
                                      int64_t* close, int64_t threads) {
    Block p = block(product, product_ld, out, out_ld, rows, columns, a, b, options, scalars);
    p.row_base = row_base, p.row_grad = row_grad;
    p.column_base = column_base, p.column_grad = column_grad;
    const int64_t strips = (rows + STRIP - 1) / STRIP;
    std::vector<Strip> parts(strips);
    std::vector<float> levels(rows);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < strips; ++t) {
        parts[t].column_sum.resize(columns);
        backward_strip(p, t * STRIP, parts[t], levels.data());
    }
    *close = 0;
    for (const Strip& part : parts) *close += part.close;
    if (*close > limit) return 0;
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
