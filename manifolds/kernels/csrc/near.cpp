// Single pairs (x[i], y[j]) of float32 points in float64, from differences: the form u of
// manifolds/kernels/spaces.py with all its digits at any separation, and its gradient (near.h).
#include <algorithm>
#include <cmath>

#include "abi.h"
#include "near.h"

namespace {

GC_INLINE Pair lengths(const float* x, const float* y, int64_t d) {
    double xx = 0, yy = 0, dd = 0, xy = 0, nn = 0;
#pragma omp simd reduction(+ : xx, yy, dd, xy, nn)
    for (int64_t k = 0; k < d; ++k) {
        const double a = x[k], b = y[k], difference = a - b;
        xx += a * a;
        yy += b * b;
        xy += a * b;
        dd += difference * difference;
        nn += difference * (a + b);
    }
    return pair_of(xx, yy, dd, xy, nn);
}

// |e|^2 and |f|^2. x - y is exact to a unit in the last place of float64: it is formed first.
GC_INLINE void angles(const float* x, const float* y, int64_t d, Pair& p) {
    const double inverse = p.degenerate ? 0 : 1 / p.longer;
    const double zx = p.x_longer ? 0 : p.in_z, zy = p.x_longer ? p.in_z : 0;
    double e2 = 0, f2 = 0;
#pragma omp simd reduction(+ : e2, f2)
    for (int64_t k = 0; k < d; ++k) {
        const double a = x[k], b = y[k];
        const double e = (a - b) - (zx * a + zy * b), f = (a + b) - (zx * a - zy * b);
        e2 += e * e;
        f2 += f * f;
    }
    p.e2 = e2 * inverse * inverse;
    p.f2 = f2 * inverse * inverse;
}

GC_INLINE void form(int64_t space, const float* x, const float* y, int64_t d, double c, Pair& p,
                    double& u, double& v) {
    p = lengths(x, y, d);
    if (is_polar_space(space)) angles(x, y, d, p);
    form_of(space, c, p, u, v);
}

GC_CLONES void values(int64_t space, const float* x, const float* y, int64_t d, double c,
                      const int64_t* i, const int64_t* j, int64_t from, int64_t to, double* u,
                      double* v) {
    for (int64_t k = from; k < to; ++k) {
        Pair p;
        form(space, x + i[k] * d, y + j[k] * d, d, c, p, u[k], v[k]);
    }
}

// Adds p x + q y to `to`.
GC_INLINE void add(float* to, double p, const float* x, double q, const float* y, int64_t d) {
#pragma omp simd
    for (int64_t k = 0; k < d; ++k) to[k] += (float)(p * (double)x[k] + q * (double)y[k]);
}

// Adds p (x - y) + q x to `to`.
GC_INLINE void add_difference(float* to, double p, double q, const float* x, const float* y,
                              int64_t d) {
#pragma omp simd
    for (int64_t k = 0; k < d; ++k)
        to[k] += (float)(p * ((double)x[k] - (double)y[k]) + q * (double)x[k]);
}

GC_INLINE double pull(int64_t space, const float* x, const float* y, int64_t d, double c, double w,
                      float* grad_x, float* grad_y) {
    Pair p;
    double u, v;
    form(space, x, y, d, c, p, u, v);
    if (space == DOT) {
        add(grad_x, 0, x, w, y, d);
        add(grad_y, w, x, 0, y, d);
        return 0;
    }
    if (space == EUCLIDEAN) {
        add_difference(grad_x, 2 * w, 0, x, y, d);
        add_difference(grad_y, 2 * w, 0, y, x, d);
        return 0;
    }
    if (space == POINCARE) {
        const double x_gap = gap(p.xx, c), y_gap = gap(p.yy, c);
        const double across = 4 * c * w / x_gap / y_gap;
        add_difference(grad_x, across, 2 * c * w * u / x_gap, x, y, d);
        add_difference(grad_y, across, 2 * c * w * u / y_gap, y, x, d);
        return pull_c(space, c, p, u, w);
    }
    const double x_inverse = p.x_norm > 0 ? 1 / p.x_norm : 0;
    const double y_inverse = p.y_norm > 0 ? 1 / p.y_norm : 0;
    if (space == SPHERE) {
        // The part of y/|y| across x equals that of -e and of f: take the shorter.
        const bool near = p.e2 <= p.f2;
        const double inverse = p.degenerate ? 0 : 1 / p.longer;
        const double zx = p.x_longer ? 0 : p.in_z, zy = p.x_longer ? p.in_z : 0;
        const double s = near ? -1 : 1;
        double tx = 0, ty = 0;
#pragma omp simd reduction(+ : tx, ty)
        for (int64_t k = 0; k < d; ++k) {
            const double a = x[k], b = s * y[k];
            const double t = ((a + b) - (zx * a - zy * b)) * inverse;  // e or f
            tx += t * a;
            ty += t * b;
        }
        tx *= x_inverse * x_inverse, ty *= y_inverse * y_inverse;
        const double wx = -s * w * x_inverse, wy = -w * y_inverse;
#pragma omp simd
        for (int64_t k = 0; k < d; ++k) {
            const double a = x[k], b = s * y[k];
            const double t = ((a + b) - (zx * a - zy * b)) * inverse;
            grad_x[k] += (float)(wx * (t - tx * a));
            grad_y[k] += (float)(wy * (t - ty * b));
        }
        return 0;
    }
    const double root_c = std::sqrt(c), a = root_c * p.x_norm, b = root_c * p.y_norm;
    const double x_cosh = std::sqrt(1 + a * a), y_cosh = std::sqrt(1 + b * b);
    const double s = radial_sinh(p.n, root_c, a, b);
    // <x - y, x/|x|> - n and <y - x, y/|y|> + n: what is left along the radius after n is taken.
    double tx = 0, ty = 0;
    const double nx = p.n * x_inverse, ny = p.n * y_inverse;
#pragma omp simd reduction(+ : tx, ty)
    for (int64_t k = 0; k < d; ++k) {
        const double difference = (double)x[k] - (double)y[k];
        tx += (difference - nx * x[k]) * x[k];
        ty += (ny * y[k] - difference) * y[k];
    }
    tx *= x_inverse, ty *= y_inverse;
    const double scale = w * root_c;
    add_difference(grad_x, scale * root_c,
                   scale * x_inverse * (s / x_cosh + b * p.e2 / 2 - root_c * (p.n + tx)), x, y, d);
    add_difference(grad_y, scale * root_c,
                   scale * y_inverse * (a * p.e2 / 2 - s / y_cosh + root_c * (p.n - ty)), y, x, d);
    return pull_c(space, c, p, u, w);
}

GC_CLONES void pulls(int64_t space, const float* x, const float* y, int64_t d, double c,
                     const int64_t* i, const int64_t* j, const double* w, int64_t from, int64_t to,
                     float* grad_x, float* grad_y, double* by_c) {
    for (int64_t k = from; k < to; ++k)
        by_c[k] = pull(space, x + i[k] * d, y + j[k] * d, d, c, w[k], grad_x + i[k] * d,
                       grad_y + j[k] * d);
}

constexpr int64_t SHARE = 256;  // pairs of one parallel piece

}  // namespace

// u, and 2 - u on the sphere, of k pairs.
GC_EXPORT int manifolds_near_values(int64_t space, const float* x, const float* y, int64_t d,
                                    double c, const int64_t* i, const int64_t* j, int64_t k,
                                    double* u, double* v, int64_t threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t from = 0; from < k; from += SHARE)
        values(space, x, y, d, c, i, j, from, std::min(from + SHARE, k), u, v);
    return 0;
}

// Adds sum_k w_k du_k/dx, du_k/dy to the gradients, and gives w_k du_k/dc. If `once`,
// no row may appear twice.
GC_EXPORT int manifolds_near_pull(int64_t space, const float* x, const float* y, int64_t d,
                                  double c, const int64_t* i, const int64_t* j, const double* w,
                                  int64_t k, float* grad_x, float* grad_y, double* by_c,
                                  int64_t once, int64_t threads) {
    if (!once) threads = 1;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t from = 0; from < k; from += SHARE)
        pulls(space, x, y, d, c, i, j, w, from, std::min(from + SHARE, k), grad_x, grad_y, by_c);
    return 0;
}
