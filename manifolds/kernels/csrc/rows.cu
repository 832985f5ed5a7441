// Row terms of the pairwise kernels on a device, a warp for each row; the formulas stand in rows.h.
#include "rows.h"

#include "grid.h"

namespace {

struct Norms {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Problem p, Side s) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= s.n) return;
        const float* x = s.points + i * s.ld;
        double total = 0;
        for (int64_t k = t.lane(); k < p.d; k += 32) total += (double)x[k] * (double)x[k];
        total = t.sum(total);
        if (t.lane() != 0) return;
        s.exact[NORM * s.n + i] = std::sqrt(total);
        s.exact[SCALE * s.n + i] = row_scale(p, total);
    }
};

// parts[stripe * (d + 1) + k]: sum of feature k over the rows of a stripe, with the square of their
// length as feature d; a block has 32 features.
struct Center {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Problem p, Side s, double* parts) {
        GC_SHARED(double, shares, WARPS * 32);
        const int64_t size = p.d + 1;
        const uint32_t across = (uint32_t)gc_ceil(size, 32), block = (uint32_t)t.block();
        const int64_t stripe = block / across, k = block % across * 32 + t.lane();
        const int64_t end = (stripe + 1) * STRIPE < s.n ? (stripe + 1) * STRIPE : s.n;
        double total = 0;
        for (int64_t i = stripe * STRIPE + t.warp(); i < end && k < size; i += WARPS) {
            const double norm = s.exact[NORM * s.n + i], factor = row_factor(p, norm);
            if (row_counts(p, norm, s.exact[SCALE * s.n + i]))
                total += k < p.d ? factor * (double)s.points[i * s.ld + k]
                                 : factor * norm * factor * norm;
        }
        shares[t.index()] = total;
        t.sync();
        if (t.warp() != 0 || k >= size) return;
        for (int w = 1; w < WARPS; ++w) total += shares[w * 32 + t.lane()];
        parts[stripe * size + k] = total;
    }
};

struct Scaled {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Problem p, Side s) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= s.n) return;
        const float* x = s.points + i * s.ld;
        float* out = s.scaled + i * p.d;
        const double norm = s.exact[NORM * s.n + i], factor = row_factor(p, norm);
        const RowTerms terms = row_terms(p, norm, s.exact[SCALE * s.n + i]);
        double total = 0;
        for (int64_t k = t.lane(); k < p.d; k += 32) {
            const double centred = factor * (double)x[k] - p.center[k];
            total += centred * centred;
            out[k] = (float)(terms.alpha * centred);
        }
        total = t.sum(total);
        if (t.lane() == 0) fill_table(s, i, terms, total);
    }
};

struct Finish {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Problem p, Side s, const double* weight,
                       const double* extra, float* gradient) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= s.n) return;
        const float* x = s.points + i * s.ld;
        float* v = gradient + i * p.d;
        const double norm = s.exact[NORM * s.n + i], factor = row_factor(p, norm), w = weight[i];
        RowGradient terms = row_gradient(p, norm, s.exact[SCALE * s.n + i], extra[i]);
        if (p.kind == SPHERE) {
            double along = 0;
            for (int64_t k = t.lane(); k < p.d; k += 32) {
                const double unit = factor * (double)x[k];
                along += unit * ((unit - p.center[k]) * w - (double)v[k]);
            }
            terms.second = -terms.first * t.sum(along) * factor;
        }
        for (int64_t k = t.lane(); k < p.d; k += 32) {
            const double centred = factor * (double)x[k] - p.center[k];
            v[k] = (float)(terms.first * (centred * w - (double)v[k]) +
                           terms.second * (double)x[k]);
        }
    }
};

int measure(const Problem* p, const Side& s, double* sum, const Place* place) {
    const int64_t stripes = gc_ceil(s.n, STRIPE), size = p->d + 1;
    Work work(place);
    double* parts = work.take<double>(stripes * size);
    if (!work.enough()) return GC_NO_WORK;
    GC_TRY(gc_launch<Norms>(gc_ceil(s.n, WARPS), place, *p, s));
    GC_TRY(gc_launch<Center>(stripes * gc_ceil(size, 32), place, *p, s, parts));
    return add_parts(place, (const double*)parts, stripes, size, sum, gc_always());
}

int finish(const Problem* p, const Side& s, const double* sums, float* v, const Place* place) {
    if (v == nullptr) return 0;
    return gc_launch<Finish>(gc_ceil(s.n, WARPS), place, *p, s, sums, sums + s.n, v);
}

}  // namespace

GC_EXPORT int manifolds_measure(const Problem* p, double* sum, const Place* place) {
    GC_TRY(measure(p, p->x, sum, place));
    return measure(p, p->y, sum, place);
}

GC_EXPORT int manifolds_prepare(const Problem* p, const Place* place) {
    GC_TRY(gc_launch<Scaled>(gc_ceil(p->x.n, WARPS), place, *p, p->x));
    return gc_launch<Scaled>(gc_ceil(p->y.n, WARPS), place, *p, p->y);
}

GC_EXPORT int manifolds_finish(const Problem* p, const double* x_sums, float* v_x,
                               const double* y_sums, float* v_y, const Place* place) {
    GC_TRY(finish(p, p->x, x_sums, v_x, place));
    return finish(p, p->y, y_sums, v_y, place);
}
