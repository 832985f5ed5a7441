// Scores of pairs as functions of the form u (manifolds/kernels/spaces.py, radial.py), and one block
// of pairs as the loss kernels take it; host and device.
//
// With raw products g = <X_i, Y_j> of a block (rows x columns), levels A, B and a score F:
//
//     u = A_i + B_j (1 + h A_i) - k g        l = factor F(u) + bias
//
// Close pairs have u <= share (A_i + B_j (1 + h A_i)) or u > far.
#pragma once

#include <cmath>
#include <cstdint>

#include "epilogue.h"

enum Function : int { IDENTITY, SHIFTED, ROOT, ARCOSH, ARCOSH2, ARC, ARC2 };

#define GC_INFINITY gc_float(0x7f800000)
// 2^-120: smaller weights would become denormals in w Y.
#define GC_TINY 7.5231638e-37f

struct Block {
    const float* product;
    int64_t product_ld;
    float* out;  // logits (forward) or weights (backward); may be `product` itself
    int64_t out_ld;
    int64_t rows, columns;
    const float *a, *b;  // levels
    int64_t coupled, function, softplus;
    int64_t partner;  // column of row 0's partner, which may lie outside
    double k, factor, bias, share, far;
    int64_t limit;   // close pairs beyond which the block is refused and nothing is added
    int64_t* close;  // their number
    // The points, for close pairs (near.h); contiguous rows.
    int64_t space, d;
    double c;
    const float *x, *y;
};

// What close pairs need in the backward pass of a device: log sum exp (0 without) and gradient of
// every line in float64, and where the gradients of the points go.
struct Weights {
    const double *row_base, *row_grad, *column_base, *column_grad;
    float *x, *y;
};

template <int FUNCTION>
GC_HD float gc_score(float u) {
    if constexpr (FUNCTION == IDENTITY) return u;
    if constexpr (FUNCTION == SHIFTED) return u + 1.0f;
    if constexpr (FUNCTION == ROOT) return gc_sqrt(u);
    float length;
    if constexpr (FUNCTION == ARCOSH || FUNCTION == ARCOSH2)
        length = gc_acosh1p(u);
    else
        length = gc_atan2(gc_sqrt(u * (2.0f - u)), 1.0f - u);
    return FUNCTION == ARCOSH2 || FUNCTION == ARC2 ? length * length : length;
}

// dF/du, for score = F(u).
template <int FUNCTION>
GC_HD float gc_score_slope(float u, float score) {
    if constexpr (FUNCTION == IDENTITY || FUNCTION == SHIFTED) return 1.0f;
    if constexpr (FUNCTION == ROOT) return 0.5f / score;
    float other = FUNCTION == ARCOSH || FUNCTION == ARCOSH2 ? u + 2.0f : 2.0f - u;
    float slope = 1.0f / gc_sqrt(u * other);
    return FUNCTION == ARCOSH2 || FUNCTION == ARC2 ? slope * (2.0f * gc_sqrt(score)) : slope;
}

// Whether u has lost its digits to the product.
GC_HD bool gc_close(float u, float base, float share, float far) {
    return (u <= share * base) | (u > far);
}

// CALL(FUNCTION) for a function known at run time.
#define GC_FUNCTIONS(function, CALL)      \
    switch (function) {                   \
        case IDENTITY: CALL(IDENTITY); break; \
        case SHIFTED: CALL(SHIFTED); break;   \
        case ROOT: CALL(ROOT); break;         \
        case ARCOSH: CALL(ARCOSH); break;     \
        case ARCOSH2: CALL(ARCOSH2); break;   \
        case ARC: CALL(ARC); break;           \
        case ARC2: CALL(ARC2); break;         \
        default: break;                       \
    }

// (top, sum) += (other_top, other_sum): log sum exp kept as its maximum and a sum.
GC_HD void gc_merge(double& top, double& sum, double other_top, double other_sum) {
    if (other_top == -(double)GC_INFINITY) {
        sum += other_sum;  // 0, or NaN
    } else if (other_top > top) {
        sum = sum * std::exp(top - other_top) + other_sum;
        top = other_top;
    } else {
        sum += other_sum * std::exp(other_top - top);
    }
}
