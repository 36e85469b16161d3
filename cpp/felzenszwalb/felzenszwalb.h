// Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, with scikit-image's arithmetic.
//
// The edges between 8-connected pixels, in ascending order of the distance of their colours, unite the components of
// their two pixels where the distance is below what both tolerate; then again where one is too small.
// pyseg/reference/felzenszwalb.py is the definition in full.
//
// By the book that is one sort of 4 edges a pixel and two walks through them all, each step two misses in the cache.
// But what an edge does depends on its two components alone, and these on the edges before it that touch them. So the
// image is cut into tiles that fit the cache, each worked through on its own, on any thread; what a tile cannot know,
// because an edge that leaves it comes first, it puts off (tile.h says how). What all tiles put off, once per pair of
// components, is then sorted and walked through by the book: a few percent of all edges (border.h).
//
//   smooth.h  the image as float64, smoothed; the edges' weights; inner loops in smooth.simd.cpp
//   order.h   sorting by weight
//   tile.h    a tile's edges, decided or put off; pairs.h
//   border.h  the edges between tiles, what was put off, and the labels
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "core/view.h"

namespace pyseg::felzenszwalb {

struct Options {
  double scale = 1.0;  // the paper's k, for colours of 0 to 255
  double sigma = 0.8;  // pixels
  std::int64_t min_size = 20;
  std::int32_t start_label = 0;
  std::vector<double> kernel;  // the Gaussian's taps from the middle outwards; empty: made of sigma
};

// What the sizes of an image must keep to, before anything is allocated for it. Throws std::invalid_argument.
void check_size(const ImageView& image);

// Labels [height, width], start_label onwards in the raster order of their first pixels. Returns their number.
// Throws std::invalid_argument with the rule and the value.
std::int64_t felzenszwalb(const ImageView& image, const Options& options, std::int32_t* labels, const Executor& exec);

}  // namespace pyseg::felzenszwalb
