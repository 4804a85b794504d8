/*
 * soft_bce: binary cross-entropy with soft targets, from logits.
 *
 * For a logit z, a target t in [0, 1] and s = 1 / (1 + exp(-z)):
 *
 *     loss      -t ln s - (1 - t) ln(1 - s)
 *     gradient  s - t                        (the derivative of the loss by z)
 *     Hessian   s (1 - s)                    (the second derivative)
 *
 * The same input gives the same bits on every machine, for every length, alignment and backend.
 * Sums are exact: correctly rounded, whatever the order and the partition. How
 * many units in the last place other results may be off is a table of the README.
 *
 *     float z[2] = {0.5f, -3.0f}, t[2] = {0.89f, 0.0f}, gradient[2];
 *     double mean;
 *     size_t index = 0;
 *     soft_bce_status status =
 *         soft_bce_mean_gradient_f32(z, t, 2, NULL, gradient, &mean, &index);
 *     if (status != SOFT_BCE_OK)
 *         fprintf(stderr, "%s, at %zu\n", soft_bce_status_message(status), index);
 *
 * Functions whose names end in _f32 take float, in _f64 double. Comments leave the ending out.
 *
 * soft_bce_linear_* have features instead of logits, and make logits, losses, and sums of gradients by
 * coefficients in one pass over the rows, in any order of which the bits are the same:
 *
 *     soft_bce_linear_f32 model = {0};
 *     int32_t scales[2] = {SOFT_BCE_LEAST_SCALE, SOFT_BCE_LEAST_SCALE}, bound;
 *     soft_bce_column_sum gradient[2];
 *     soft_bce_loss_sum loss;
 *     double by_coefficient[2];
 *     model.data = x, model.row_count = n, model.column_count = 2;
 *     model.coefficients = b, model.t = t;
 *     model.scratch_length = soft_bce_linear_scratch(2, 0, 0, 0);
 *     model.scratch = malloc(model.scratch_length * sizeof(double));
 *     soft_bce_linear_scan_f32(&model, scales, NULL);
 *     soft_bce_linear_factor_scale_f32(&model, SOFT_BCE_FACTOR_RESIDUAL, &bound, NULL);
 *     soft_bce_column_sums_start(scales, 2, 0, bound, gradient);
 *     soft_bce_loss_sum_init(&loss);
 *     soft_bce_linear_sum_gradient_f32(&model, &loss, gradient, NULL);
 *     soft_bce_column_sums_values(gradient, 2, by_coefficient);
 *
 * Rules that hold for every function:
 *
 *   - `n` is the number of elements of every array of the call, weights included, but for weights of
 *     rows and classes. Arrays may be null where n is 0. Otherwise a null pointer is an error, unless the function allows it.
 *   - An array, result or scratch that is written must not overlap any other memory of the call; arrays
 *     that are only read may overlap each other. Overlap is found, and an error.
 *   - The pointers must be valid for what the call reads and writes. This is the one duty that
 *     the library cannot check.
 *   - Errors are looked for in this order: pointers (NULL_POINTER, MISALIGNED, LENGTH_OVERFLOW of
 *     each, then OVERLAP), options, MALFORMED_LOSS_SUM, EMPTY, elements. A call that fails stores no result
 *     (sum, mean, loss sum). After an error of pointers its output arrays are as they were; after
 *     any other every element of every output array is NaN, but soft_bce_gradient_in_place leaves
 *     its buffer as it was.
 *   - `bad_index` is optional (may be null). It is written where the status is
 *     SOFT_BCE_TARGET_OUT_OF_RANGE, SOFT_BCE_PROBABILITY_OUT_OF_RANGE or SOFT_BCE_INVALID_WEIGHT: the
 *     first such index; and for SOFT_BCE_INVALID_ROW_WEIGHT and SOFT_BCE_INVALID_POS_WEIGHT: the first
 *     such row or class. Of soft_bce_linear_*: the first row (of SOFT_BCE_INVALID_COEFFICIENT the
 *     coefficient, of SOFT_BCE_SCALE_MISMATCH the sum).
 *   - soft_bce_linear_* look for errors in this order: pointers; what belongs to no row (options,
 *     lengths, states, scales, groups, coefficients); rows. In a row: features, offset, weight and
 *     target, logit, factor; where the weight is 0 features and offset alone. After an error sums,
 *     scales and bounds are as they were.
 *   - The floating-point environment is C's default: rounding to nearest, subnormals not flushed
 *     to zero. (Linking with -ffast-math can change it at start-up.)
 *   - No function allocates, locks, or keeps a pointer. All may be called from any thread, at
 *     the same time, as long as none writes memory that another one uses.
 *   - Statuses that any call with options may return: NULL_POINTER, MISALIGNED, LENGTH_OVERFLOW,
 *     OVERLAP, TARGET_OUT_OF_RANGE, INVALID_OPTION, UNSUPPORTED_OPTIONS, BACKEND_UNAVAILABLE; with
 *     weights, INVALID_WEIGHT; with those of rows or classes, LENGTH_MISMATCH and INVALID_ROW_WEIGHT or
 *     INVALID_POS_WEIGHT. Further ones are said at the function. Of sigmoid, log_sigmoid and
 *     softplus only the pointers can be at fault; of loss_sum_* also the bytes of the sum.
 *   - n = 0 is valid: a sum of 0, and nothing written to arrays.
 *   - A logit of +-infinity gives the mathematical limit; a NaN logit gives NaN in its element
 *     and in sums. Neither is an error.
 *   - Floating-point exceptions: for logits of at most 86 (float) or 640 (double; 200 on machines
 *     without FMA instructions) in magnitude, where weights and results are in the normal range or
 *     0, no flag but FE_INEXACT is raised.
 *     Beyond, FE_UNDERFLOW, FE_OVERFLOW and FE_INVALID may be, whatever the result; logits that are
 *     infinite or NaN, targets that are refused and elements that a weight removes count as beyond.
 */


#ifndef SOFT_BCE_H
#define SOFT_BCE_H

/* Made by cbindgen from capi/src/lib.rs. Do not edit. */

#include <stddef.h>
#include <stdint.h>

/**
 * The version of this header; soft_bce_version gives that of the library.
 */
#define SOFT_BCE_VERSION_MAJOR 0

/**
 * See SOFT_BCE_VERSION_MAJOR.
 */
#define SOFT_BCE_VERSION_MINOR 1

/**
 * See SOFT_BCE_VERSION_MAJOR.
 */
#define SOFT_BCE_VERSION_PATCH 0

/**
 * The size of soft_bce_loss_sum.
 */
#define SOFT_BCE_LOSS_SUM_BYTES 288

/**
 * A flag of options, for float alone: every loss, gradient and Hessian is the true value rounded
 * once, to nearest even, at two to three times the cost; far more without FMA instructions for
 * double. Excludes all other options but target_tolerance and backend.
 */
#define SOFT_BCE_EXACT 1

/**
 * A flag of options: every loss is reported above its least value for the target, the target's
 * entropy: t ln(t/s) + (1 - t) ln((1 - t)/(1 - s)). Gradients and Hessians do not change. Excludes
 * pos_weight, pos_weights, label_smoothing and SOFT_BCE_EXACT.
 */
#define SOFT_BCE_EXCESS 2

/**
 * A flag of options: `t` holds logits u, a teacher's, and the target is 1 / (1 + exp(-u)), never
 * rounded; +-infinity are the hard labels, NaN is SOFT_BCE_TARGET_OUT_OF_RANGE. Excludes pos_weight,
 * pos_weights, label_smoothing, target_tolerance and SOFT_BCE_EXACT.
 */
#define SOFT_BCE_LOGIT_TARGETS 4

/**
 * A flag of options: the loss is (s - t)^2. Excludes pos_weight, pos_weights, label_smoothing and
 * the other flags.
 */
#define SOFT_BCE_SQUARED_ERROR 8

/**
 * A flag of options: the loss is |s - t|^beta times cross-entropy. There is no Hessian of it. Excludes
 * what SOFT_BCE_SQUARED_ERROR excludes.
 */
#define SOFT_BCE_FOCAL 16

/**
 * The size of soft_bce_column_sum.
 */
#define SOFT_BCE_COLUMN_SUM_BYTES 32

/**
 * The least exponent of a scale: that of a column in which nothing, or only zeros, have been seen.
 */
#define SOFT_BCE_LEAST_SCALE -480

/**
 * What became of a call. Values keep their meaning; later versions may add more.
 */
enum soft_bce_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The call did what its description says.
     */
    SOFT_BCE_OK = 0,
    /**
     * A pointer is null that must not be.
     */
    SOFT_BCE_NULL_POINTER = 1,
    /**
     * A pointer is not aligned for its type.
     */
    SOFT_BCE_MISALIGNED = 2,
    /**
     * The array is larger than the address space: the length must be wrong.
     */
    SOFT_BCE_LENGTH_OVERFLOW = 3,
    /**
     * Memory that is written overlaps other memory of the call.
     */
    SOFT_BCE_OVERLAP = 4,
    /**
     * A target (for soft_bce_logit, a probability) is NaN or outside [0, 1], by more than
     * target_tolerance.
     */
    SOFT_BCE_TARGET_OUT_OF_RANGE = 5,
    /**
     * A weight is NaN, infinite or negative; -0 is 0.
     */
    SOFT_BCE_INVALID_WEIGHT = 6,
    /**
     * An option is out of its range: pos_weight finite and > 0 (0 stands for 1), label_smoothing
     * in [0, 1], target_tolerance and beta finite and >= 0, temperature finite and > 0 (0 stands for
     * 1); or an unknown bit of flags is set, or backend is unknown.
     */
    SOFT_BCE_INVALID_OPTION = 7,
    /**
     * The options exclude each other, or this type does not offer them.
     */
    SOFT_BCE_UNSUPPORTED_OPTIONS = 8,
    /**
     * The mean of no elements, or of a total weight of 0.
     */
    SOFT_BCE_EMPTY = 9,
    /**
     * This machine cannot run the backend asked for.
     */
    SOFT_BCE_BACKEND_UNAVAILABLE = 10,
    /**
     * The soft_bce_loss_sum is not initialised, or damaged.
     */
    SOFT_BCE_MALFORMED_LOSS_SUM = 11,
    /**
     * A fault of the library. Please report it.
     */
    SOFT_BCE_INTERNAL_ERROR = 12,
    /**
     * The number of row_weights or of pos_weights does not divide `n`.
     */
    SOFT_BCE_LENGTH_MISMATCH = 13,
    /**
     * A weight of a row is NaN, infinite or negative; -0 is 0.
     */
    SOFT_BCE_INVALID_ROW_WEIGHT = 14,
    /**
     * The pos_weight of a class is NaN, infinite or not positive.
     */
    SOFT_BCE_INVALID_POS_WEIGHT = 15,
    /**
     * A probability is NaN or outside [0, 1].
     */
    SOFT_BCE_PROBABILITY_OUT_OF_RANGE = 16,
    /**
     * A feature is NaN, infinite or beyond its column's scale.
     */
    SOFT_BCE_FEATURE_OUT_OF_SCALE = 17,
    /**
     * A coefficient, or a direction's element, is NaN or infinite.
     */
    SOFT_BCE_INVALID_COEFFICIENT = 18,
    /**
     * An offset is NaN or infinite.
     */
    SOFT_BCE_INVALID_OFFSET = 19,
    /**
     * A row's logit is NaN or infinite: beyond the range of the type.
     */
    SOFT_BCE_INVALID_LOGIT = 20,
    /**
     * A factor is NaN or beyond its scale.
     */
    SOFT_BCE_FACTOR_OUT_OF_SCALE = 21,
    /**
     * A number has no scale, or a product of scales is beyond 2^959.
     */
    SOFT_BCE_SCALE_OUT_OF_RANGE = 22,
    /**
     * Sums of scales that do not belong together, or an intercept's below 2^0.
     */
    SOFT_BCE_SCALE_MISMATCH = 23,
    /**
     * A group is not less than group_count.
     */
    SOFT_BCE_GROUP_OUT_OF_RANGE = 24,
    /**
     * More than 2^64 rows.
     */
    SOFT_BCE_TOO_MANY_ROWS = 25,
    /**
     * A soft_bce_column_sum is not started, or damaged.
     */
    SOFT_BCE_MALFORMED_COLUMN_SUM = 26,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum soft_bce_status soft_bce_status;
#else
typedef int32_t soft_bce_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Implementations. All give the same bits; they differ in speed.
 */
enum soft_bce_backend
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The fastest of this machine.
     */
    SOFT_BCE_BACKEND_AUTO = 0,
    /**
     * One element at a time.
     */
    SOFT_BCE_BACKEND_SCALAR = 1,
    /**
     * The vector instructions the library was compiled for, such as SSE2 or NEON.
     */
    SOFT_BCE_BACKEND_WIDE = 2,
    /**
     * AVX2 and FMA.
     */
    SOFT_BCE_BACKEND_AVX2 = 3,
    /**
     * AVX-512.
     */
    SOFT_BCE_BACKEND_AVX512 = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum soft_bce_backend soft_bce_backend;
#else
typedef uint32_t soft_bce_backend;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What multiplies the features of row i in a sum over the rows.
 */
enum soft_bce_factor
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The derivative of the row's loss by its logit.
     */
    SOFT_BCE_FACTOR_RESIDUAL = 0,
    /**
     * The second derivative: for Newton steps and standard errors.
     */
    SOFT_BCE_FACTOR_HESSIAN = 1,
    /**
     * The square of the derivative, as double: for robust standard errors.
     */
    SOFT_BCE_FACTOR_SQUARED_RESIDUAL = 2,
    /**
     * The `factors` of the soft_bce_linear, finite. Targets, weights and offset are not looked at.
     */
    SOFT_BCE_FACTOR_GIVEN = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum soft_bce_factor soft_bce_factor;
#else
typedef uint32_t soft_bce_factor;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What is computed. A null pointer to the options, and options that are all zero, mean the
 * plain loss.
 */
typedef struct soft_bce_options_f32 {
    /**
     * The weight of each element, finite and not negative, or null. Multiplies losses,
     * gradients and Hessians; means divide by the total weight. A weight of 0 or -0 makes
     * them 0, and neither logit nor target is looked at.
     */
    const float *weights;
    /**
     * Multiplies the -t ln s term by p, finite and greater than 0: the gradient is then
     * w s - p t and the Hessian w s (1 - s), w = 1 - t + p t. 0 stands for 1.
     */
    float pos_weight;
    /**
     * Moves every target towards 1/2, before all else: t (1 - label_smoothing) +
     * label_smoothing / 2. In [0, 1].
     */
    float label_smoothing;
    /**
     * 0, or some of SOFT_BCE_EXACT, SOFT_BCE_EXCESS and the other flags.
     */
    uint32_t flags;
    /**
     * A soft_bce_backend; 0, the fastest, unless you test or measure.
     */
    uint32_t backend;
    /**
     * Targets outside [0, 1] by at most this, finite and >= 0, count as 0 or 1.
     */
    float target_tolerance;
    /**
     * Logits, and those of SOFT_BCE_LOGIT_TARGETS, are divided by it, finite and greater
     * than 0; gradients and Hessians are by the undivided logit. 0 stands for 1.
     */
    float temperature;
    /**
     * The exponent of SOFT_BCE_FOCAL, finite and >= 0.
     */
    float beta;
    /**
     * The weight of each row, or null: element i has row_weights[i / (n / row_count)], finite
     * and not negative, which multiplies `weights`. A weight of 0 removes the row.
     */
    const float *row_weights;
    /**
     * How many there are; has to divide `n`.
     */
    size_t row_count;
    /**
     * The pos_weight of each class, or null: element i has pos_weights[i % class_count],
     * finite and greater than 0. Excludes pos_weight.
     */
    const float *pos_weights;
    /**
     * How many there are; has to divide `n`.
     */
    size_t class_count;
} soft_bce_options_f32;

/**
 * An exact sum of losses, in 288 bytes that are the same on every machine: copy them, write them
 * to a file, send them elsewhere and merge them there. Use soft_bce_loss_sum_init first.
 *
 * Equal multisets of values give equal bytes, in whatever order they were added and merged.
 */
typedef struct soft_bce_loss_sum {
    /**
     * Not to be changed by hand; every function refuses bytes that it cannot have written.
     */
    uint8_t bytes[SOFT_BCE_LOSS_SUM_BYTES];
} soft_bce_loss_sum;

/**
 * What is computed. A null pointer to the options, and options that are all zero, mean the
 * plain loss.
 */
typedef struct soft_bce_options_f64 {
    /**
     * The weight of each element, finite and not negative, or null. Multiplies losses,
     * gradients and Hessians; means divide by the total weight. A weight of 0 or -0 makes
     * them 0, and neither logit nor target is looked at.
     */
    const double *weights;
    /**
     * Multiplies the -t ln s term by p, finite and greater than 0: the gradient is then
     * w s - p t and the Hessian w s (1 - s), w = 1 - t + p t. 0 stands for 1.
     */
    double pos_weight;
    /**
     * Moves every target towards 1/2, before all else: t (1 - label_smoothing) +
     * label_smoothing / 2. In [0, 1].
     */
    double label_smoothing;
    /**
     * 0, or some of SOFT_BCE_EXACT, SOFT_BCE_EXCESS and the other flags.
     */
    uint32_t flags;
    /**
     * A soft_bce_backend; 0, the fastest, unless you test or measure.
     */
    uint32_t backend;
    /**
     * Targets outside [0, 1] by at most this, finite and >= 0, count as 0 or 1.
     */
    double target_tolerance;
    /**
     * Logits, and those of SOFT_BCE_LOGIT_TARGETS, are divided by it, finite and greater
     * than 0; gradients and Hessians are by the undivided logit. 0 stands for 1.
     */
    double temperature;
    /**
     * The exponent of SOFT_BCE_FOCAL, finite and >= 0.
     */
    double beta;
    /**
     * The weight of each row, or null: element i has row_weights[i / (n / row_count)], finite
     * and not negative, which multiplies `weights`. A weight of 0 removes the row.
     */
    const double *row_weights;
    /**
     * How many there are; has to divide `n`.
     */
    size_t row_count;
    /**
     * The pos_weight of each class, or null: element i has pos_weights[i % class_count],
     * finite and greater than 0. Excludes pos_weight.
     */
    const double *pos_weights;
    /**
     * How many there are; has to divide `n`.
     */
    size_t class_count;
} soft_bce_options_f64;

/**
 * Some rows of a linear model: logit = features times coefficients + intercept + offset. All that
 * soft_bce_linear_* read; members that a function does not need may be null.
 *
 * With an intercept sums have one element more, the last, as if there were a last column of ones: their
 * number is the `width`.
 */
typedef struct soft_bce_linear_f32 {
    /**
     * The features, row after row: element (i, j) is data[i * stride + j]. Nothing else is read.
     */
    const float *data;
    /**
     * 0 stands for column_count.
     */
    size_t stride;
    /**
     * Or an array for each column: element (i, j) is columns[j][i]. Null if the features are in
     * `data`, which is not looked at otherwise. The bits are those of rows.
     */
    const float *const *columns;
    /**
     * n.
     */
    size_t row_count;
    /**
     * d.
     */
    size_t column_count;
    /**
     * One for each column, finite.
     */
    const float *coefficients;
    /**
     * One number, finite, or null: there is none.
     */
    const float *intercept;
    /**
     * Added to each row's logit, finite; or null.
     */
    const float *offset;
    /**
     * The targets, one a row.
     */
    const float *t;
    /**
     * For SOFT_BCE_FACTOR_GIVEN, one a row.
     */
    const float *factors;
    /**
     * The group of each row, less than group_count, or null. With groups sum_gradient and column_sums
     * keep the sums of each group apart: those of group g start at g * width.
     */
    const uint32_t *groups;
    /**
     * How many groups there are.
     */
    size_t group_count;
    /**
     * Those of the loss, or null. `weights` are one a row; row_weights and pos_weights are
     * SOFT_BCE_UNSUPPORTED_OPTIONS.
     */
    const struct soft_bce_options_f32 *options;
    /**
     * Memory of the call, whatever it holds. Calls at the same time need their own.
     */
    double *scratch;
    /**
     * At least what soft_bce_linear_scratch says, else SOFT_BCE_LENGTH_MISMATCH.
     */
    size_t scratch_length;
    /**
     * If not null: where SOFT_BCE_FEATURE_OUT_OF_SCALE stores the column; the row is `bad_index`.
     */
    size_t *bad_column;
} soft_bce_linear_f32;

/**
 * A sum over rows of factors times features, in units of a fixed grid: an integer, which depends on
 * no order and no partition of the rows. In 32 bytes that are the same on every machine: copy them,
 * write them to a file, merge them elsewhere. Use soft_bce_column_sums_start first.
 *
 * For features up to 2^E, factors up to 2^F and n rows it is off by at most
 * n 2^(E + F - 46) + 2^-52 of the sum of the products' magnitudes.
 */
typedef struct soft_bce_column_sum {
    /**
     * Not to be changed by hand; every function refuses bytes that it cannot have written.
     */
    uint8_t bytes[SOFT_BCE_COLUMN_SUM_BYTES];
} soft_bce_column_sum;

/**
 * Some rows of a linear model: logit = features times coefficients + intercept + offset. All that
 * soft_bce_linear_* read; members that a function does not need may be null.
 *
 * With an intercept sums have one element more, the last, as if there were a last column of ones: their
 * number is the `width`.
 */
typedef struct soft_bce_linear_f64 {
    /**
     * The features, row after row: element (i, j) is data[i * stride + j]. Nothing else is read.
     */
    const double *data;
    /**
     * 0 stands for column_count.
     */
    size_t stride;
    /**
     * Or an array for each column: element (i, j) is columns[j][i]. Null if the features are in
     * `data`, which is not looked at otherwise. The bits are those of rows.
     */
    const double *const *columns;
    /**
     * n.
     */
    size_t row_count;
    /**
     * d.
     */
    size_t column_count;
    /**
     * One for each column, finite.
     */
    const double *coefficients;
    /**
     * One number, finite, or null: there is none.
     */
    const double *intercept;
    /**
     * Added to each row's logit, finite; or null.
     */
    const double *offset;
    /**
     * The targets, one a row.
     */
    const double *t;
    /**
     * For SOFT_BCE_FACTOR_GIVEN, one a row.
     */
    const double *factors;
    /**
     * The group of each row, less than group_count, or null. With groups sum_gradient and column_sums
     * keep the sums of each group apart: those of group g start at g * width.
     */
    const uint32_t *groups;
    /**
     * How many groups there are.
     */
    size_t group_count;
    /**
     * Those of the loss, or null. `weights` are one a row; row_weights and pos_weights are
     * SOFT_BCE_UNSUPPORTED_OPTIONS.
     */
    const struct soft_bce_options_f64 *options;
    /**
     * Memory of the call, whatever it holds. Calls at the same time need their own.
     */
    double *scratch;
    /**
     * At least what soft_bce_linear_scratch says, else SOFT_BCE_LENGTH_MISMATCH.
     */
    size_t scratch_length;
    /**
     * If not null: where SOFT_BCE_FEATURE_OUT_OF_SCALE stores the column; the row is `bad_index`.
     */
    size_t *bad_column;
} soft_bce_linear_f64;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Writes the loss of each element to `loss`.
 */
soft_bce_status soft_bce_loss_f32(const float *z,
                                  const float *t,
                                  size_t n,
                                  const struct soft_bce_options_f32 *options,
                                  float *loss,
                                  size_t *bad_index);

/**
 * Stores the sum of the losses: that of the values soft_bce_loss writes, rounded once.
 */
soft_bce_status soft_bce_sum_f32(const float *z,
                                 const float *t,
                                 size_t n,
                                 const struct soft_bce_options_f32 *options,
                                 double *sum,
                                 size_t *bad_index);

/**
 * Stores the sum of the losses divided by `n`, or by the total weight. Of no elements, or
 * of a total weight of 0, SOFT_BCE_EMPTY.
 */
soft_bce_status soft_bce_mean_f32(const float *z,
                                  const float *t,
                                  size_t n,
                                  const struct soft_bce_options_f32 *options,
                                  double *mean,
                                  size_t *bad_index);

/**
 * Writes the derivative of each loss by its logit to `gradient`.
 */
soft_bce_status soft_bce_gradient_f32(const float *z,
                                      const float *t,
                                      size_t n,
                                      const struct soft_bce_options_f32 *options,
                                      float *gradient,
                                      size_t *bad_index);

/**
 * Replaces each logit by the derivative of its loss. A call that fails changes nothing.
 */
soft_bce_status soft_bce_gradient_in_place_f32(float *z,
                                               const float *t,
                                               size_t n,
                                               const struct soft_bce_options_f32 *options,
                                               size_t *bad_index);

/**
 * soft_bce_sum and soft_bce_gradient in one pass.
 */
soft_bce_status soft_bce_sum_gradient_f32(const float *z,
                                          const float *t,
                                          size_t n,
                                          const struct soft_bce_options_f32 *options,
                                          float *gradient,
                                          double *sum,
                                          size_t *bad_index);

/**
 * soft_bce_mean, and its derivatives by the logits: divided as the mean is. Empty as there.
 */
soft_bce_status soft_bce_mean_gradient_f32(const float *z,
                                           const float *t,
                                           size_t n,
                                           const struct soft_bce_options_f32 *options,
                                           float *gradient,
                                           double *mean,
                                           size_t *bad_index);

/**
 * Writes the first and the second derivative of each loss by its logit.
 */
soft_bce_status soft_bce_gradient_hessian_f32(const float *z,
                                              const float *t,
                                              size_t n,
                                              const struct soft_bce_options_f32 *options,
                                              float *gradient,
                                              float *hessian,
                                              size_t *bad_index);

/**
 * soft_bce_sum and soft_bce_gradient_hessian in one pass.
 */
soft_bce_status soft_bce_sum_gradient_hessian_f32(const float *z,
                                                  const float *t,
                                                  size_t n,
                                                  const struct soft_bce_options_f32 *options,
                                                  float *gradient,
                                                  float *hessian,
                                                  double *sum,
                                                  size_t *bad_index);

/**
 * soft_bce_loss and soft_bce_gradient in one pass.
 */
soft_bce_status soft_bce_loss_gradient_f32(const float *z,
                                           const float *t,
                                           size_t n,
                                           const struct soft_bce_options_f32 *options,
                                           float *loss,
                                           float *gradient,
                                           size_t *bad_index);

/**
 * soft_bce_loss and soft_bce_gradient_hessian in one pass.
 */
soft_bce_status soft_bce_loss_gradient_hessian_f32(const float *z,
                                                   const float *t,
                                                   size_t n,
                                                   const struct soft_bce_options_f32 *options,
                                                   float *loss,
                                                   float *gradient,
                                                   float *hessian,
                                                   size_t *bad_index);

/**
 * Adds the loss of each element to `sum`, exactly. A call that fails adds none. `sum` must
 * be initialised, else SOFT_BCE_MALFORMED_LOSS_SUM.
 */
soft_bce_status soft_bce_accumulate_f32(const float *z,
                                        const float *t,
                                        size_t n,
                                        const struct soft_bce_options_f32 *options,
                                        struct soft_bce_loss_sum *sum,
                                        size_t *bad_index);

/**
 * soft_bce_accumulate and soft_bce_gradient in one pass.
 */
soft_bce_status soft_bce_accumulate_gradient_f32(const float *z,
                                                 const float *t,
                                                 size_t n,
                                                 const struct soft_bce_options_f32 *options,
                                                 struct soft_bce_loss_sum *sum,
                                                 float *gradient,
                                                 size_t *bad_index);

/**
 * soft_bce_accumulate and soft_bce_gradient_hessian in one pass.
 */
soft_bce_status soft_bce_accumulate_gradient_hessian_f32(const float *z,
                                                         const float *t,
                                                         size_t n,
                                                         const struct soft_bce_options_f32 *options,
                                                         struct soft_bce_loss_sum *sum,
                                                         float *gradient,
                                                         float *hessian,
                                                         size_t *bad_index);

/**
 * Adds all `n` values to `sum`, exactly: as soft_bce_loss_sum_add for each, at the speed
 * of a vector sum.
 */
soft_bce_status soft_bce_loss_sum_add_slice_f32(struct soft_bce_loss_sum *sum,
                                                const float *values,
                                                size_t n);

/**
 * Writes -y ln p - (1 - y) ln(1 - p), where 0 ln 0 is 0: infinity at p = 0 if y > 0, and at p = 1
 * if y < 1. A p that is NaN or outside [0, 1] is SOFT_BCE_PROBABILITY_OUT_OF_RANGE; `bad_index`
 * has its index. Logits are better where there is a choice: a p next to 1 has lost them.
 */
soft_bce_status soft_bce_probability_loss_f32(const float *y,
                                              const float *p,
                                              size_t n,
                                              float *loss,
                                              size_t *bad_index);

/**
 * Stores the sum of what soft_bce_probability_loss writes, rounded once. Errors as there.
 */
soft_bce_status soft_bce_probability_sum_f32(const float *y,
                                             const float *p,
                                             size_t n,
                                             double *sum,
                                             size_t *bad_index);

/**
 * Stores that sum divided by `n`. Errors as there, and SOFT_BCE_EMPTY.
 */
soft_bce_status soft_bce_probability_mean_f32(const float *y,
                                              const float *p,
                                              size_t n,
                                              double *mean,
                                              size_t *bad_index);

/**
 * Writes the derivatives of soft_bce_probability_loss by p, (p - y) / (p (1 - p)). Errors as there.
 */
soft_bce_status soft_bce_probability_gradient_f32(const float *y,
                                                  const float *p,
                                                  size_t n,
                                                  float *gradient,
                                                  size_t *bad_index);

/**
 * Writes 1 / (1 + exp(-z)).
 */
soft_bce_status soft_bce_sigmoid_f32(const float *z, size_t n, float *p);

/**
 * Writes ln(1 / (1 + exp(-z))).
 */
soft_bce_status soft_bce_log_sigmoid_f32(const float *z, size_t n, float *out);

/**
 * Writes ln(1 + exp(z)).
 */
soft_bce_status soft_bce_softplus_f32(const float *z, size_t n, float *out);

/**
 * Writes ln(p / (1 - p)), the inverse of soft_bce_sigmoid, for p in [0, 1]: -infinity at 0,
 * infinity at 1. Another p is SOFT_BCE_TARGET_OUT_OF_RANGE.
 */
soft_bce_status soft_bce_logit_f32(const float *p, size_t n, float *z, size_t *bad_index);

/**
 * Writes the loss of each element to `loss`.
 */
soft_bce_status soft_bce_loss_f64(const double *z,
                                  const double *t,
                                  size_t n,
                                  const struct soft_bce_options_f64 *options,
                                  double *loss,
                                  size_t *bad_index);

/**
 * Stores the sum of the losses: that of the values soft_bce_loss writes, rounded once.
 */
soft_bce_status soft_bce_sum_f64(const double *z,
                                 const double *t,
                                 size_t n,
                                 const struct soft_bce_options_f64 *options,
                                 double *sum,
                                 size_t *bad_index);

/**
 * Stores the sum of the losses divided by `n`, or by the total weight. Of no elements, or
 * of a total weight of 0, SOFT_BCE_EMPTY.
 */
soft_bce_status soft_bce_mean_f64(const double *z,
                                  const double *t,
                                  size_t n,
                                  const struct soft_bce_options_f64 *options,
                                  double *mean,
                                  size_t *bad_index);

/**
 * Writes the derivative of each loss by its logit to `gradient`.
 */
soft_bce_status soft_bce_gradient_f64(const double *z,
                                      const double *t,
                                      size_t n,
                                      const struct soft_bce_options_f64 *options,
                                      double *gradient,
                                      size_t *bad_index);

/**
 * Replaces each logit by the derivative of its loss. A call that fails changes nothing.
 */
soft_bce_status soft_bce_gradient_in_place_f64(double *z,
                                               const double *t,
                                               size_t n,
                                               const struct soft_bce_options_f64 *options,
                                               size_t *bad_index);

/**
 * soft_bce_sum and soft_bce_gradient in one pass.
 */
soft_bce_status soft_bce_sum_gradient_f64(const double *z,
                                          const double *t,
                                          size_t n,
                                          const struct soft_bce_options_f64 *options,
                                          double *gradient,
                                          double *sum,
                                          size_t *bad_index);

/**
 * soft_bce_mean, and its derivatives by the logits: divided as the mean is. Empty as there.
 */
soft_bce_status soft_bce_mean_gradient_f64(const double *z,
                                           const double *t,
                                           size_t n,
                                           const struct soft_bce_options_f64 *options,
                                           double *gradient,
                                           double *mean,
                                           size_t *bad_index);

/**
 * Writes the first and the second derivative of each loss by its logit.
 */
soft_bce_status soft_bce_gradient_hessian_f64(const double *z,
                                              const double *t,
                                              size_t n,
                                              const struct soft_bce_options_f64 *options,
                                              double *gradient,
                                              double *hessian,
                                              size_t *bad_index);

/**
 * soft_bce_sum and soft_bce_gradient_hessian in one pass.
 */
soft_bce_status soft_bce_sum_gradient_hessian_f64(const double *z,
                                                  const double *t,
                                                  size_t n,
                                                  const struct soft_bce_options_f64 *options,
                                                  double *gradient,
                                                  double *hessian,
                                                  double *sum,
                                                  size_t *bad_index);

/**
 * soft_bce_loss and soft_bce_gradient in one pass.
 */
soft_bce_status soft_bce_loss_gradient_f64(const double *z,
                                           const double *t,
                                           size_t n,
                                           const struct soft_bce_options_f64 *options,
                                           double *loss,
                                           double *gradient,
                                           size_t *bad_index);

/**
 * soft_bce_loss and soft_bce_gradient_hessian in one pass.
 */
soft_bce_status soft_bce_loss_gradient_hessian_f64(const double *z,
                                                   const double *t,
                                                   size_t n,
                                                   const struct soft_bce_options_f64 *options,
                                                   double *loss,
                                                   double *gradient,
                                                   double *hessian,
                                                   size_t *bad_index);

/**
 * Adds the loss of each element to `sum`, exactly. A call that fails adds none. `sum` must
 * be initialised, else SOFT_BCE_MALFORMED_LOSS_SUM.
 */
soft_bce_status soft_bce_accumulate_f64(const double *z,
                                        const double *t,
                                        size_t n,
                                        const struct soft_bce_options_f64 *options,
                                        struct soft_bce_loss_sum *sum,
                                        size_t *bad_index);

/**
 * soft_bce_accumulate and soft_bce_gradient in one pass.
 */
soft_bce_status soft_bce_accumulate_gradient_f64(const double *z,
                                                 const double *t,
                                                 size_t n,
                                                 const struct soft_bce_options_f64 *options,
                                                 struct soft_bce_loss_sum *sum,
                                                 double *gradient,
                                                 size_t *bad_index);

/**
 * soft_bce_accumulate and soft_bce_gradient_hessian in one pass.
 */
soft_bce_status soft_bce_accumulate_gradient_hessian_f64(const double *z,
                                                         const double *t,
                                                         size_t n,
                                                         const struct soft_bce_options_f64 *options,
                                                         struct soft_bce_loss_sum *sum,
                                                         double *gradient,
                                                         double *hessian,
                                                         size_t *bad_index);

/**
 * Adds all `n` values to `sum`, exactly: as soft_bce_loss_sum_add for each, at the speed
 * of a vector sum.
 */
soft_bce_status soft_bce_loss_sum_add_slice_f64(struct soft_bce_loss_sum *sum,
                                                const double *values,
                                                size_t n);

/**
 * Writes -y ln p - (1 - y) ln(1 - p), where 0 ln 0 is 0: infinity at p = 0 if y > 0, and at p = 1
 * if y < 1. A p that is NaN or outside [0, 1] is SOFT_BCE_PROBABILITY_OUT_OF_RANGE; `bad_index`
 * has its index. Logits are better where there is a choice: a p next to 1 has lost them.
 */
soft_bce_status soft_bce_probability_loss_f64(const double *y,
                                              const double *p,
                                              size_t n,
                                              double *loss,
                                              size_t *bad_index);

/**
 * Stores the sum of what soft_bce_probability_loss writes, rounded once. Errors as there.
 */
soft_bce_status soft_bce_probability_sum_f64(const double *y,
                                             const double *p,
                                             size_t n,
                                             double *sum,
                                             size_t *bad_index);

/**
 * Stores that sum divided by `n`. Errors as there, and SOFT_BCE_EMPTY.
 */
soft_bce_status soft_bce_probability_mean_f64(const double *y,
                                              const double *p,
                                              size_t n,
                                              double *mean,
                                              size_t *bad_index);

/**
 * Writes the derivatives of soft_bce_probability_loss by p, (p - y) / (p (1 - p)). Errors as there.
 */
soft_bce_status soft_bce_probability_gradient_f64(const double *y,
                                                  const double *p,
                                                  size_t n,
                                                  double *gradient,
                                                  size_t *bad_index);

/**
 * Writes 1 / (1 + exp(-z)).
 */
soft_bce_status soft_bce_sigmoid_f64(const double *z, size_t n, double *p);

/**
 * Writes ln(1 / (1 + exp(-z))).
 */
soft_bce_status soft_bce_log_sigmoid_f64(const double *z, size_t n, double *out);

/**
 * Writes ln(1 + exp(z)).
 */
soft_bce_status soft_bce_softplus_f64(const double *z, size_t n, double *out);

/**
 * Writes ln(p / (1 - p)), the inverse of soft_bce_sigmoid, for p in [0, 1]: -infinity at 0,
 * infinity at 1. Another p is SOFT_BCE_TARGET_OUT_OF_RANGE.
 */
soft_bce_status soft_bce_logit_f64(const double *p, size_t n, double *z, size_t *bad_index);

/**
 * soft_bce_sigmoid_f32, each result rounded correctly.
 */
soft_bce_status soft_bce_exact_sigmoid_f32(const float *z, size_t n, float *p);

/**
 * soft_bce_log_sigmoid_f32, each result rounded correctly.
 */
soft_bce_status soft_bce_exact_log_sigmoid_f32(const float *z, size_t n, float *out);

/**
 * soft_bce_softplus_f32, each result rounded correctly.
 */
soft_bce_status soft_bce_exact_softplus_f32(const float *z, size_t n, float *out);

/**
 * Makes `sum` the sum of nothing.
 */
soft_bce_status soft_bce_loss_sum_init(struct soft_bce_loss_sum *sum);

/**
 * Adds one value, exactly. NaN, or infinities of both signs, make the sum NaN for good.
 */
soft_bce_status soft_bce_loss_sum_add(struct soft_bce_loss_sum *sum, double value);

/**
 * Adds to `sum` all that `other` has summed, exactly. The two may be the same.
 */
soft_bce_status soft_bce_loss_sum_merge(struct soft_bce_loss_sum *sum,
                                        const struct soft_bce_loss_sum *other);

/**
 * Stores how many values have been added; stops at 2^64 - 1.
 */
soft_bce_status soft_bce_loss_sum_count(const struct soft_bce_loss_sum *sum, uint64_t *count);

/**
 * Stores the sum, correctly rounded.
 */
soft_bce_status soft_bce_loss_sum_value(const struct soft_bce_loss_sum *sum, double *value);

/**
 * Says in English what a status means. Never null; static; any number is allowed.
 */
const char *soft_bce_status_message(int32_t status);

/**
 * The backend that SOFT_BCE_BACKEND_AUTO stands for on this machine.
 */
soft_bce_backend soft_bce_detected_backend(void);

/**
 * The version of the library, such as "0.1.0". Static.
 */
const char *soft_bce_version(void);

/**
 * Raises the exponent of each column's scale in `scales`, of column_count elements, to the least E with
 * |x| <= 2^E: first of all SOFT_BCE_LEAST_SCALE, they end as the data set's, however it is cut. Scales of
 * parts are merged by maxima. An element that is NaN, infinite or beyond 2^959 is
 * SOFT_BCE_FEATURE_OUT_OF_SCALE. After an error `scales` is as it was.
 */
soft_bce_status soft_bce_linear_scan_f32(const struct soft_bce_linear_f32 *model,
                                         int32_t *scales,
                                         size_t *bad_index);

/**
 * Writes the logit of each row: its bits depend on no layout, machine and backend. One beyond the range
 * of the type is SOFT_BCE_INVALID_LOGIT.
 */
soft_bce_status soft_bce_linear_logits_f32(const struct soft_bce_linear_f32 *model,
                                           float *z,
                                           size_t *bad_index);

/**
 * Writes 1 / (1 + exp(-logit)) of each row. Errors as for logits.
 */
soft_bce_status soft_bce_linear_predict_f32(const struct soft_bce_linear_f32 *model,
                                            float *p,
                                            size_t *bad_index);

/**
 * Stores the exponent of a bound on all factors, a soft_bce_factor, of these rows: what the weights and
 * options admit. Of parts of a data set take the maximum. A smaller bound that holds makes sums more
 * exact; factors beyond it are SOFT_BCE_FACTOR_OUT_OF_SCALE.
 */
soft_bce_status soft_bce_linear_factor_scale_f32(const struct soft_bce_linear_f32 *model,
                                                 uint32_t factor,
                                                 int32_t *scale,
                                                 size_t *bad_index);

/**
 * The same for hessian_vector, with features of these scales and that direction.
 */
soft_bce_status soft_bce_linear_hessian_vector_scale_f32(const struct soft_bce_linear_f32 *model,
                                                         const int32_t *scales,
                                                         const float *direction,
                                                         int32_t *scale,
                                                         size_t *bad_index);

/**
 * Adds the losses of all rows to `loss`, exactly, and the residuals times the features to `gradient`: the
 * derivatives by coefficients and intercept, `width` sums, or group_count times as many. The bits
 * depend on no order of the rows.
 */
soft_bce_status soft_bce_linear_sum_gradient_f32(const struct soft_bce_linear_f32 *model,
                                                 struct soft_bce_loss_sum *loss,
                                                 struct soft_bce_column_sum *gradient,
                                                 size_t *bad_index);

/**
 * Adds factors, a soft_bce_factor, times features to `sums`, as many as a gradient has.
 */
soft_bce_status soft_bce_linear_column_sums_f32(const struct soft_bce_linear_f32 *model,
                                                uint32_t factor,
                                                struct soft_bce_column_sum *sums,
                                                size_t *bad_index);

/**
 * Adds the Hessian by coefficients and intercept, times `direction`, to `sums`: `width` elements each.
 * Groups are not looked at.
 */
soft_bce_status soft_bce_linear_hessian_vector_f32(const struct soft_bce_linear_f32 *model,
                                                   const float *direction,
                                                   struct soft_bce_column_sum *sums,
                                                   size_t *bad_index);

/**
 * Adds factor times feature times feature to `sums`, the lower triangle of the Gram matrix, row by row:
 * element (j, k), k <= j, is at j (j + 1) / 2 + k. Groups are not looked at.
 */
soft_bce_status soft_bce_linear_gram_f32(const struct soft_bce_linear_f32 *model,
                                         uint32_t factor,
                                         struct soft_bce_column_sum *sums,
                                         size_t *bad_index);

/**
 * Sum_gradient (without groups) and gram in one pass: with SOFT_BCE_FACTOR_HESSIAN a Newton step.
 */
soft_bce_status soft_bce_linear_sum_gradient_gram_f32(const struct soft_bce_linear_f32 *model,
                                                      uint32_t factor,
                                                      struct soft_bce_loss_sum *loss,
                                                      struct soft_bce_column_sum *gradient,
                                                      struct soft_bce_column_sum *sums,
                                                      size_t *bad_index);

/**
 * Raises the exponent of each column's scale in `scales`, of column_count elements, to the least E with
 * |x| <= 2^E: first of all SOFT_BCE_LEAST_SCALE, they end as the data set's, however it is cut. Scales of
 * parts are merged by maxima. An element that is NaN, infinite or beyond 2^959 is
 * SOFT_BCE_FEATURE_OUT_OF_SCALE. After an error `scales` is as it was.
 */
soft_bce_status soft_bce_linear_scan_f64(const struct soft_bce_linear_f64 *model,
                                         int32_t *scales,
                                         size_t *bad_index);

/**
 * Writes the logit of each row: its bits depend on no layout, machine and backend. One beyond the range
 * of the type is SOFT_BCE_INVALID_LOGIT.
 */
soft_bce_status soft_bce_linear_logits_f64(const struct soft_bce_linear_f64 *model,
                                           double *z,
                                           size_t *bad_index);

/**
 * Writes 1 / (1 + exp(-logit)) of each row. Errors as for logits.
 */
soft_bce_status soft_bce_linear_predict_f64(const struct soft_bce_linear_f64 *model,
                                            double *p,
                                            size_t *bad_index);

/**
 * Stores the exponent of a bound on all factors, a soft_bce_factor, of these rows: what the weights and
 * options admit. Of parts of a data set take the maximum. A smaller bound that holds makes sums more
 * exact; factors beyond it are SOFT_BCE_FACTOR_OUT_OF_SCALE.
 */
soft_bce_status soft_bce_linear_factor_scale_f64(const struct soft_bce_linear_f64 *model,
                                                 uint32_t factor,
                                                 int32_t *scale,
                                                 size_t *bad_index);

/**
 * The same for hessian_vector, with features of these scales and that direction.
 */
soft_bce_status soft_bce_linear_hessian_vector_scale_f64(const struct soft_bce_linear_f64 *model,
                                                         const int32_t *scales,
                                                         const double *direction,
                                                         int32_t *scale,
                                                         size_t *bad_index);

/**
 * Adds the losses of all rows to `loss`, exactly, and the residuals times the features to `gradient`: the
 * derivatives by coefficients and intercept, `width` sums, or group_count times as many. The bits
 * depend on no order of the rows.
 */
soft_bce_status soft_bce_linear_sum_gradient_f64(const struct soft_bce_linear_f64 *model,
                                                 struct soft_bce_loss_sum *loss,
                                                 struct soft_bce_column_sum *gradient,
                                                 size_t *bad_index);

/**
 * Adds factors, a soft_bce_factor, times features to `sums`, as many as a gradient has.
 */
soft_bce_status soft_bce_linear_column_sums_f64(const struct soft_bce_linear_f64 *model,
                                                uint32_t factor,
                                                struct soft_bce_column_sum *sums,
                                                size_t *bad_index);

/**
 * Adds the Hessian by coefficients and intercept, times `direction`, to `sums`: `width` elements each.
 * Groups are not looked at.
 */
soft_bce_status soft_bce_linear_hessian_vector_f64(const struct soft_bce_linear_f64 *model,
                                                   const double *direction,
                                                   struct soft_bce_column_sum *sums,
                                                   size_t *bad_index);

/**
 * Adds factor times feature times feature to `sums`, the lower triangle of the Gram matrix, row by row:
 * element (j, k), k <= j, is at j (j + 1) / 2 + k. Groups are not looked at.
 */
soft_bce_status soft_bce_linear_gram_f64(const struct soft_bce_linear_f64 *model,
                                         uint32_t factor,
                                         struct soft_bce_column_sum *sums,
                                         size_t *bad_index);

/**
 * Sum_gradient (without groups) and gram in one pass: with SOFT_BCE_FACTOR_HESSIAN a Newton step.
 */
soft_bce_status soft_bce_linear_sum_gradient_gram_f64(const struct soft_bce_linear_f64 *model,
                                                      uint32_t factor,
                                                      struct soft_bce_loss_sum *loss,
                                                      struct soft_bce_column_sum *gradient,
                                                      struct soft_bce_column_sum *sums,
                                                      size_t *bad_index);

/**
 * How many doubles of scratch are enough for all calls with so many columns, an intercept if that is
 * not 0, and so many groups (0 for none); also for those with a Gram matrix if with_gram is not 0.
 * SIZE_MAX if that is too many.
 */
size_t soft_bce_linear_scratch(size_t column_count,
                               uint32_t intercept,
                               size_t group_count,
                               uint32_t with_gram);

/**
 * Makes `sums` the sums of no rows, of column_count columns with these exponents of scales and, unless
 * `intercept` is 0, one of ones, with factors up to 2^factor_scale.
 * SOFT_BCE_SCALE_OUT_OF_RANGE if a scale is not from -480 to 959, or the sum of two is beyond 959: then
 * `sums` is as it was.
 */
soft_bce_status soft_bce_column_sums_start(const int32_t *scales,
                                           size_t column_count,
                                           uint32_t intercept,
                                           int32_t factor_scale,
                                           struct soft_bce_column_sum *sums);

/**
 * The same for the (width (width + 1)) / 2 sums of a Gram matrix, where the sum of three exponents counts.
 */
soft_bce_status soft_bce_column_sums_start_gram(const int32_t *scales,
                                                size_t column_count,
                                                uint32_t intercept,
                                                int32_t factor_scale,
                                                struct soft_bce_column_sum *sums);

/**
 * Adds each of the `n` sums of `others` to that of `sums`, exactly, or none of them: of different scales they are
 * SOFT_BCE_SCALE_MISMATCH, and `bad_index` has the first such index.
 */
soft_bce_status soft_bce_column_sums_merge(struct soft_bce_column_sum *sums,
                                           const struct soft_bce_column_sum *others,
                                           size_t n,
                                           size_t *bad_index);

/**
 * Stores the value of each of the `n` sums, correctly rounded.
 */
soft_bce_status soft_bce_column_sums_values(const struct soft_bce_column_sum *sums,
                                            size_t n,
                                            double *values);

/**
 * Stores how many rows have been added to `sum`, those of weight 0 included.
 */
soft_bce_status soft_bce_column_sum_rows(const struct soft_bce_column_sum *sum, uint64_t *rows);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SOFT_BCE_H */
