// Close pairs from differences; the forms stand in direct.h.
#include "direct.h"

#include <cmath>

#include "abi.h"

namespace {

// Squared lengths of t for four rows of y at once.
GC_INLINE void lengths4(const float* x, const float* const* y, const Near* near, int64_t d,
                        double* out) {
    for (int r = 0; r < 4; ++r) out[r] = 0;
    for (int64_t begin = 0; begin < d; begin += 512) {
        int64_t end = d < begin + 512 ? d : begin + 512;
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        const float *y0 = y[0], *y1 = y[1], *y2 = y[2], *y3 = y[3];
        float g0 = near[0].sign, g1 = near[1].sign, g2 = near[2].sign, g3 = near[3].sign;
        float a0 = near[0].in_x, a1 = near[1].in_x, a2 = near[2].in_x, a3 = near[3].in_x;
        float b0 = g0 * near[0].in_y, b1 = g1 * near[1].in_y, b2 = g2 * near[2].in_y,
              b3 = g3 * near[3].in_y;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
        for (int64_t k = begin; k < end; ++k) {
            float v = x[k];
            float t0 = (v - g0 * y0[k]) - a0 * v - b0 * y0[k];
            float t1 = (v - g1 * y1[k]) - a1 * v - b1 * y1[k];
            float t2 = (v - g2 * y2[k]) - a2 * v - b2 * y2[k];
            float t3 = (v - g3 * y3[k]) - a3 * v - b3 * y3[k];
            s0 += t0 * t0;
            s1 += t1 * t1;
            s2 += t2 * t2;
            s3 += t3 * t3;
        }
        out[0] += s0;
        out[1] += s1;
        out[2] += s2;
        out[3] += s3;
    }
}

// n and |t|^2 in float64.
GC_INLINE double wide_length(bool polar, const float* x, const float* y, int64_t d, double nx, double ny,
                             Near& p) {
    double sign = p.sign, n = 0, total = 0, in_x, in_y;
    if (polar) {
#pragma omp simd reduction(+ : n)
        for (int64_t k = 0; k < d; ++k)
            n += ((double)x[k] - sign * y[k]) * ((double)x[k] + sign * y[k]);
        p.n = nx + ny == 0 ? 0.0 : n / (nx + ny);
        set_shorter(p, nx, ny);
    }
    wide_ratios(polar, p, nx, ny, in_x, in_y);
#pragma omp simd reduction(+ : total)
    for (int64_t k = 0; k < d; ++k) {
        double t = wide_t(x[k], sign * y[k], in_x, in_y);
        total += t * t;
    }
    p.wide = true;
    return total;
}

// Whether float32 sums give n and |t|^2 to a few units in the last place.
GC_INLINE bool narrow_enough(bool polar, double t2, const Near& p, double cosh2) {
    if (!(t2 > 1e-25 && t2 < 1e36)) return false;
    if (!polar) return true;
    double n2 = p.n * p.n;
    if (t2 + n2 < 1e-18 * p.longer * p.longer) return false;
    return cosh2 < 20.0 || t2 > n2 / 64;
}

}  // namespace

// Row i of side a against k <= CHUNK rows of side b.
GC_CLONES void gc_direct(const Problem& p, const Side& a, int64_t i, const Side& b,
                            const int64_t* js, int64_t k, Near* near) {
    const int64_t kind = p.kind;
    const bool polar = is_polar(kind);
    const float* x = a.points + i * a.ld;
    double nx = a.exact[NORM * a.n + i], fx = a.exact[SCALE * a.n + i];
    double squares[CHUNK + 3];
    for (int64_t m = 0; m < k; ++m) {
        Near& q = near[m];
        q = Near{};
        q.sign = 1;
        q.longer = 1;
        if (polar) {
            double ny = b.exact[NORM * b.n + js[m]];
            q.n = nx - ny;
            set_shorter(q, nx, ny);
        }
    }
    for (int64_t m = 0; m < k; m += 4) {
        const float* rows[4];
        Near four[4];
        for (int64_t r = 0; r < 4; ++r) {
            int64_t at = m + r < k ? m + r : k - 1;
            rows[r] = b.points + js[at] * b.ld;
            four[r] = near[at];
        }
        lengths4(x, rows, four, p.d, squares + m);
    }
    for (int64_t m = 0; m < k; ++m) {
        Near& q = near[m];
        int64_t j = js[m];
        const float* y = b.points + j * b.ld;
        double ny = b.exact[NORM * b.n + j], fy = b.exact[SCALE * b.n + j], t2 = squares[m];
        // An angle is as good as t alone; a distance has n beside it.
        double cosh2 = kind == LORENTZ ? fx * fy : is_angle(kind) ? 1e300 : 1.0;
        if (is_spherical(kind) && t2 > 2 * q.longer * q.longer) {
            q.sign = -1;
            t2 = wide_length(polar, x, y, p.d, nx, ny, q);
        } else if (!narrow_enough(polar, t2, q, cosh2)) {
            t2 = wide_length(polar, x, y, p.d, nx, ny, q);
        }
        q.s = gc_direct_s(p, q, t2, nx, fx, ny, fy);
    }
}

// Row i of side a against its close pairs js of side b: v -= sum of along t.
GC_CLONES void gc_pull(const Problem& p, const Side& a, int64_t i, const Side& b,
                        const int64_t* js, const float* gs, int64_t k, bool curvature, float* v,
                        double* extra, double* by_c, float* partial) {
    const int64_t kind = p.kind;
    const bool polar = is_polar(kind);
    Near near[CHUNK];
    gc_direct(p, a, i, b, js, k, near);
    const float* x = a.points + i * a.ld;
    const double nx = a.exact[NORM * a.n + i], fx = a.exact[SCALE * a.n + i];
    for (int64_t q = 0; q < p.d; ++q) partial[q] = 0;
    for (int64_t m = 0; m < k; ++m) {
        const Near& pair = near[m];
        const float* y = b.points + js[m] * b.ld;
        const double ny = b.exact[NORM * b.n + js[m]], fy = b.exact[SCALE * b.n + js[m]];
        const Pull pull = gc_direct_slope(p, pair, gs[m], nx, fx, ny, fy);
        if (kind == LORENTZ) *extra += pull.radial;
        if (kind == POINCARE) *extra += pull.half;
        if (kind == LORENTZ && curvature) {
            double root_c = std::sqrt(p.c), a1 = root_c * (nx + ny);
            double time = fx + fy == 0 ? 0.0 : root_c * pair.n * a1 / (fx + fy);
            *by_c += (pull.half - 0.5 * pull.weight * time * time / (fx * fy)) / (p.c * root_c);
        }
        if (pair.wide) {
            double in_x, in_y;
            wide_ratios(polar, pair, nx, ny, in_x, in_y);
            for (int64_t q = 0; q < p.d; ++q)
                partial[q] += (float)(pull.along * wide_t(x[q], (double)pair.sign * y[q], in_x, in_y));
        } else {
            const float along = (float)pull.along, in_x = pair.in_x, in_y = pair.sign * pair.in_y;
            const float sign = pair.sign;
#pragma omp simd
            for (int64_t q = 0; q < p.d; ++q)
                partial[q] += along * ((x[q] - sign * y[q]) - in_x * x[q] - in_y * y[q]);
        }
    }
    for (int64_t q = 0; q < p.d; ++q) v[q] -= partial[q];
}
