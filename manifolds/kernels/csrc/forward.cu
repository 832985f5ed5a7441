// Matrix products to distances or angles on a device, in place; then the close pairs by the direct
// form. Both passes run over the same patches; the second leaves at once where there are none.
#include "single.h"

namespace {

// The result of a pair from its product, -1 if it is close.
template <int KIND>
GC_DEVICE float result_of(const Terms& x, const Terms& y, float product, float close, float scale) {
    const float total = gc_total(x.alpha, x.alpha_p, y.alpha, y.alpha_p);
    float q = gc_fma(-2.0f, product, total);
    if constexpr (KIND >= LORENTZ_ANGLE) {
        const float apart = gc_difference(x.radial, x.low, y.radial, y.low);
        const float reach = y.radial * x.other;
        const float radial = gc_angle_sinh(apart, x.radial, x.other, y.radial, y.other);
        const bool fine = gc_resolved<SPHERE>(q, total, close) && reach < GC_Q_MAX &&
                          x.radial * y.other < GC_Q_MAX && x.radial > GC_Q_MIN &&
                          y.radial > GC_Q_MIN;
        return fine ? gc_angle(q, reach, y.radial, radial) : -1.0f;
    } else {
        if constexpr (KIND == LORENTZ)
            q = gc_add_radial(q, gc_difference(x.radial, x.low, y.radial, y.low), x.other,
                              y.other);
        return gc_resolved<KIND>(q, total, close) ? scale * gc_value<KIND>(q) : -1.0f;
    }
}

template <int KIND>
struct Forward {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Problem p, int64_t first, int64_t rows, float* out,
                       int64_t ld, int64_t* repaired) {
        const Patch patch(t.block(), rows, p.y.n);
        const float close = (float)p.close, scale = (float)distance_scale(p);
        const int64_t column = patch.column + t.warp() * STEP + t.lane();
        Terms y[SPAN];
        for (int v = 0; v < SPAN; ++v)
            y[v] = terms_of(p.y, column + 32 * v < patch.column_end ? column + 32 * v : 0);
        int bad = 0;
        for (int64_t i = patch.row; i < patch.row_end; ++i) {
            const Terms x = terms_of(p.x, first + i);
            float* row = out + i * ld;
            for (int v = 0; v < SPAN; ++v) {
                const int64_t j = column + 32 * v;
                if (j >= patch.column_end) continue;
                const float value = result_of<KIND>(x, y[v], row[j], close, scale);
                row[j] = value;
                bad += value == -1.0f;
            }
        }
        bad = t.sum(bad);
        if (t.lane() == 0 && bad > 0) t.count(repaired, bad);
    }
};

struct Repair {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Problem p, int64_t first, int64_t rows, float* out,
                       int64_t ld, const int64_t* repaired) {
        if (*repaired == 0) return;
        const Patch patch(t.block(), rows, p.y.n);
        const double scale = distance_scale(p);
        for (int64_t i = patch.row + t.warp(); i < patch.row_end; i += WARPS)
            for (int64_t base = patch.column; base < patch.column_end; base += 32) {
                const int64_t own = base + t.lane();
                uint32_t votes = t.vote(own < patch.column_end && out[i * ld + own] == -1.0f);
                for (; votes != 0; votes &= votes - 1) {
                    const int64_t j = base + Thread::first(votes);
                    const Near q = gc_single(t, p, p.x, first + i, p.y, j);
                    if (t.lane() == 0)
                        out[i * ld + j] = (float)(scale * gc_direct_value(p, q, first + i, j));
                }
            }
    }
};

template <int KIND>
int launch(const Problem* p, int64_t first, int64_t rows, float* out, int64_t ld,
           int64_t* repaired, const Place* place) {
    const int64_t patches = gc_patches(rows, p->y.n);
    return gc_launch<Forward<KIND>>(patches, place, *p, first, rows, out, ld, repaired);
}

}  // namespace

GC_EXPORT int manifolds_forward(const Problem* p, int64_t first, int64_t rows, float* out,
                                int64_t ld, int64_t* repaired, const Place* place) {
    int status = 0;
#define GC_CALL(K) status = launch<K>(p, first, rows, out, ld, repaired, place)
    if (is_angle(p->kind))
        GC_CALL(LORENTZ_ANGLE);
    else
        GC_SWITCH(p->kind, GC_CALL)
#undef GC_CALL
    GC_TRY(status);
    return gc_launch<Repair>(gc_patches(rows, p->y.n), place, *p, first, rows, out, ld,
                             (const int64_t*)repaired);
}
