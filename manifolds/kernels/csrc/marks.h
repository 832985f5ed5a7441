// How warps find the marked pairs of a block, and visit them one by one in a fixed order: all of a
// row, or all of a column, by one warp, so that it may add to that line without asking anybody.
#pragma once

#include "grid.h"

// visit(j) for the marked columns of row i; marked(i, j) says whether a pair is.
template <class Marked, class Visit>
GC_DEVICE void gc_row_marks(const Thread& t, int64_t i, int64_t from, int64_t to,
                            const Marked& marked, const Visit& visit) {
    for (int64_t base = from; base < to; base += 32) {
        const int64_t j = base + t.lane();
        uint32_t votes = t.vote(j < to && marked(i, j));
        for (; votes != 0; votes &= votes - 1) visit(base + Thread::first(votes));
    }
}

enum : int { MASKS = 1024 };  // rows whose marks a block of threads holds at a time

// visit(i, j) for the marked rows of the 32 columns from `column` on; a block of WARPS warps, each
// of which visits 32 / WARPS of the columns.
template <class Marked, class Visit>
GC_DEVICE void gc_column_marks(const Thread& t, int64_t rows, int64_t columns, int64_t column,
                               const Marked& marked, const Visit& visit) {
    GC_SHARED(uint32_t, masks, MASKS);
    const int64_t j = column + t.lane();
    for (int64_t start = 0; start < rows; start += MASKS) {
        const int count = rows - start < MASKS ? (int)(rows - start) : (int)MASKS;
        for (int r = t.warp(); r < count; r += WARPS) {
            const uint32_t votes = t.vote(j < columns && marked(start + r, j));
            if (t.lane() == 0) masks[r] = votes;
        }
        t.sync();
        for (int c = t.warp(); c < 32; c += WARPS)
            for (int base = 0; base < count; base += 32) {
                const int r = base + t.lane();
                uint32_t votes = t.vote(r < count && (masks[r] >> c & 1u) != 0);
                for (; votes != 0; votes &= votes - 1)
                    visit(start + base + Thread::first(votes), column + c);
            }
        t.sync();
    }
}
