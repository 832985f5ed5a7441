// One pair of points, given the matrix product of its scaled, centred features; host and device.
//
// With p = |x'|^2 for x' the centred feature of x (unit vector or point minus a common centre) and a
// scale alpha, the product g = <alpha x', beta y'> gives
//
//     alpha beta |x' - y'|^2 = T - 2 g,    T = alpha p beta + alpha beta q
//
//     lorentz    u = cosh D - 1 = (a - b)^2 / (1 + a b + cosh rx cosh ry) + (T - 2 g),
//                alpha = sqrt(c/2)|x|, x' from x/|x|; a = sinh rx = sqrt(c)|x|: a sum of squares
//     poincare   u = T - 2 g, alpha = sqrt(2c)/X, X = 1 - c|x|^2, x' from x
//     euclidean  |x - y|^2 = T - 2 g, alpha = 1, x' from x
//     sphere     |e|^2 = T - 2 g = 4 sin^2(theta/2), alpha = 1, x' from x/|x|
//     angles     |e|^2 likewise; the exterior angle at x is atan2(b sin theta,
//                -sinh(rx - ry) - b cosh(rx) |e|^2 / 2), with cosh = 1, a = |x| in flat space
//
// The product is off by about eps sqrt(d) T, so a pair is *resolved* where the result is above
// `close` T; the others are computed from differences (direct.h). Radial separations keep all digits:
// they come from differences of e^r - 1 (distances) or of a (angles), held in high and low parts. With
// e^r and e^-r tabled, distances need no division for them:
//
//     cosh(rx - ry) - 1 = (e^rx - e^ry)^2 e^-rx e^-ry / 2
//     sinh(rx - ry) = (e^rx - e^ry)(e^-rx + e^-ry) / 2
#pragma once

#include "epilogue.h"

enum Kind : int {
    LORENTZ = 0,
    POINCARE = 1,
    EUCLIDEAN = 2,
    EUCLIDEAN2 = 3,
    SPHERE = 4,
    LORENTZ_ANGLE = 5,
    POINCARE_ANGLE = 6,
    EUCLIDEAN_ANGLE = 7
};

// Columns of the float32 row table, each of length n.
//                        distances (lorentz)    angles
//     RADIAL, RADIAL_LOW    (e^r - 1) / 2          sinh r = a
//     OTHER                 e^-r                   cosh r
//     SECH                  1 / cosh r             -
enum Field : int { ALPHA = 0, ALPHA_P = 1, RADIAL = 2, RADIAL_LOW = 3, OTHER = 4, SECH = 5, FIELDS = 6 };

// Everything below takes scalars: a struct in a loop keeps gcc from vectorising it.

GC_HD float gc_total(float x_alpha, float x_alpha_p, float y_alpha, float y_alpha_p) {
    return gc_fma(x_alpha_p, y_alpha, x_alpha * y_alpha_p);
}

// (e^rx - e^ry) / 2, or sinh rx - sinh ry, to its last digits.
GC_HD float gc_difference(float x_high, float x_low, float y_high, float y_low) {
    return (x_high - y_high) + (x_low - y_low);
}

// q + cosh(rx - ry) - 1 from the difference of e^r / 2, and e^-rx, e^-ry.
GC_HD float gc_add_radial(float q, float difference, float x_fall, float y_fall) {
    return gc_fma(difference * (2.0f * x_fall), difference * y_fall, q);
}

// sinh(rx - ry) likewise.
GC_HD float gc_radial_sinh(float difference, float x_fall, float y_fall) {
    return difference * (x_fall + y_fall);
}

// What the curvature's gradient takes from a pair for its times: (cosh rx - cosh ry)^2 / (2 cosh rx
// cosh ry). 1 - e^(-rx - ry) loses digits near the origin, where all of this is negligible.
GC_HD float gc_times(float difference, float x_fall, float x_sech, float y_fall, float y_sech) {
    float time = difference * gc_fma(-x_fall, y_fall, 1.0f);
    return time * (0.5f * x_sech) * (time * y_sech);
}

// sinh(rx - ry) from the difference of sinh, for angles: flat space has it too, with cosh = 1.
GC_HD float gc_angle_sinh(float difference, float x_sinh, float x_cosh, float y_sinh,
                           float y_cosh) {
    float mixed = gc_fma(x_sinh, y_cosh, y_sinh * x_cosh);
    return difference * (x_sinh + y_sinh) / (mixed + 1e-37f);
}

// The range in which float32 holds u and its square root.
#define GC_Q_MIN 1e-30f
#define GC_Q_MAX 1e37f
#define GC_D_MAX 85.5f  // arcosh of 6.7e36

// Whether q = u, |x - y|^2 or |e|^2 may be used; false for NaN. On the sphere, antipodes lose
// their digits like coincident points do.
template <int KIND>
GC_HD bool gc_resolved(float q, float total, float close) {
    float least = close * total;
    least = GC_Q_MIN > least ? GC_Q_MIN : least;  // in this order a NaN stays
    bool fine = (q > least) & (q < GC_Q_MAX);
    return KIND == SPHERE ? fine & (q < 4.0f - 4.0f * close) : fine;
}

// Distance times 1/scale.
template <int KIND>
GC_HD float gc_value(float q) {
    if constexpr (KIND == EUCLIDEAN2) return q;
    if constexpr (KIND == EUCLIDEAN) return gc_sqrt(q);
    if constexpr (KIND == SPHERE) return 2.0f * gc_asin_root(0.25f * q, 0.5f * gc_sqrt(q));
    return gc_acosh1p(q);
}

// gc_resolved from the distance `d` (times 1/scale) in place of q.
template <int KIND>
GC_HD bool gc_apart(float d, float total, float close) {
    if constexpr (KIND == EUCLIDEAN2) return gc_resolved<KIND>(d, total, close);
    if constexpr (KIND == EUCLIDEAN) return gc_resolved<KIND>(d * d, total, close);
    if constexpr (KIND == SPHERE) {
        float s, c;
        gc_sincos(0.5f * d, s, c);
        return gc_resolved<KIND>(4.0f * s * s, total, close);
    }
    float e, q, least = close * total;
    gc_exp_minus(d, e, q);  // cosh D - 1 = q^2 / (2 e)
    least = GC_Q_MIN > least ? GC_Q_MIN : least;
    return (q * q > 2.0f * e * least) & (d < GC_D_MAX);
}

// Gradient weight of the feature difference x' - y' (times alpha beta) from the distance `d` (times
// 1/scale) and its gradient g, so that nothing but the result is kept for the backward pass:
// hyperbolic g/sinh D, sphere g/sin theta, euclidean g/d, its square g. half: hyperbolic
// g tanh(D/2), else 0. Of use for resolved pairs only.
template <int KIND>
GC_HD void gc_slope(float d, float g, float& weight, float& half) {
    half = 0.0f;
    if constexpr (KIND == EUCLIDEAN2) {
        weight = g;
    } else if constexpr (KIND == EUCLIDEAN) {
        weight = g / d;
    } else if constexpr (KIND == SPHERE) {
        float s, c;
        gc_sincos(0.5f * d, s, c);
        weight = 0.5f * g / (s * c);
    } else {
        float e, q;  // sinh D = (q - q^2/2) / e, tanh(D/2) = q^2/2 / (q - q^2/2)
        gc_exp_minus(d, e, q);
        float q2 = 0.5f * q, inverse = g / gc_fma(-q2, q, q);
        weight = e * inverse;
        half = q2 * q * inverse;
    }
    // A denormal weight slows the product after it.
    weight = gc_abs(weight) < 1.2e-38f ? 0.0f : weight;
}

// Exterior angle at x from q = |e|^2; `reach` is b cosh(rx).
GC_HD float gc_angle(float q, float reach, float y_sinh, float radial_sinh) {
    float across = y_sinh * gc_sqrt(q * gc_fma(-0.25f, q, 1.0f));
    return gc_atan2(across, gc_fma(-0.5f * q, reach, -radial_sinh));
}
