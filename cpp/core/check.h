// Argument checks shared by both bindings: an error states the rule and the value.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace pyseg {

template <typename... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Throws std::invalid_argument (ValueError in Python) unless `rule` holds.
template <typename... Parts>
void check(bool rule, const Parts&... parts) {
  if (!rule) throw std::invalid_argument(text(parts...));
}

// A wrong dtype, rank or kind: TypeError in Python.
struct TypeError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

template <typename... Parts>
void check_type(bool rule, const Parts&... parts) {
  if (!rule) throw TypeError(text(parts...));
}

}  // namespace pyseg
