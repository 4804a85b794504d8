/* The tests of the linear head of one element type: included with REAL, NAME, EPSILON and HASH set. */

#include "rows.h"

/* What the grid of the sums costs a product of moderate numbers. */
#define GRID 1e-13

/* In C as in Rust, on every backend, from rows and from columns. */
static void NAME(test_linear_bits)(void)
{
    uint32_t backend, available = 0;
    int columnar;
    for (backend = 0; backend <= SOFT_BCE_BACKEND_AVX512; backend++) {
        for (columnar = 0; columnar < 2; columnar++) {
            uint64_t hash = 0xcbf29ce484222325u;
            soft_bce_status status = NAME(hash_rows)(backend, columnar, &hash);
            if (status == SOFT_BCE_BACKEND_UNAVAILABLE)
                continue;
            CHECK(status == SOFT_BCE_OK);
            if (hash != HASH && ++failures)
                printf("hash %016llx\n", (unsigned long long)hash);
            available++;
        }
    }
    CHECK(available >= 6);
}

static long double NAME(residual)(int i, long double *logit, long double *hessian)
{
    long double z = NAME(beta)[COLUMNS] + (long double)NAME(offset)[i], s;
    int j;
    for (j = 0; j < COLUMNS; j++)
        z += (long double)NAME(x)[i * COLUMNS + j] * NAME(beta)[j];
    s = 1 / (1 + expl(-z));
    *logit = z;
    *hessian = s * (1 - s);
    return s - NAME(rows_t)[i];
}

/* Values; other orders, parts and layouts; groups. */
static void NAME(test_linear_values)(void)
{
    static REAL wide[ROWS * (COLUMNS + 3)], z[ROWS], p[ROWS], g[ROWS], swapped[ROWS * COLUMNS], t[ROWS];
    static soft_bce_column_sum gradient[WIDTH], other[WIDTH], parts[2][WIDTH], gram[GRAM], copy[GRAM];
    static soft_bce_column_sum grouped[GROUPS][WIDTH], product[WIDTH];
    long double exact[WIDTH] = {0}, hv[WIDTH] = {0}, squares[GRAM] = {0};
    double values[GRAM], whole[WIDTH];
    NAME(soft_bce_linear) model, second;
    soft_bce_loss_sum loss, again, part;
    int32_t scales[COLUMNS], bound = 0, quarter = 0;
    uint64_t rows = 0;
    int i, j, k;

    NAME(fill_rows)();
    for (i = 0; i < COLUMNS; i++)
        scales[i] = SOFT_BCE_LEAST_SCALE;
    model = NAME(rows_model)(NULL, 0);
    OK(NAME(soft_bce_linear_scan)(&model, scales, NULL));
    for (i = 0; i < COLUMNS; i++)
        CHECK(scales[i] == 1); /* 14/8 */
    OK(NAME(soft_bce_linear_factor_scale)(&model, SOFT_BCE_FACTOR_RESIDUAL, &bound, NULL));
    OK(NAME(soft_bce_linear_factor_scale)(&model, SOFT_BCE_FACTOR_HESSIAN, &quarter, NULL));
    CHECK(bound == 0 && quarter == -2);

    /* Logits and predictions. */
    OK(NAME(soft_bce_linear_logits)(&model, z, NULL));
    OK(NAME(soft_bce_linear_predict)(&model, p, NULL));
    OK(NAME(soft_bce_sigmoid)(z, ROWS, g));
    CHECK(memcmp(p, g, sizeof p) == 0);
    for (i = 0; i < ROWS; i++) {
        long double logit, h, r = NAME(residual)(i, &logit, &h), step = 0;
        CHECK(close_to(z[i], logit, 16, EPSILON));
        for (j = 0; j < COLUMNS; j++)
            step += (long double)NAME(x)[i * COLUMNS + j] * NAME(beta)[j];
        step += NAME(beta)[COLUMNS];
        for (j = 0, k = 0; j < WIDTH; j++) {
            long double left = j < COLUMNS ? NAME(x)[i * COLUMNS + j] : 1;
            int l;
            exact[j] += r * left;
            hv[j] += h * step * left;
            for (l = 0; l <= j; l++)
                squares[k++] += h * left * (l < COLUMNS ? NAME(x)[i * COLUMNS + l] : 1);
        }
    }

    /* Loss, gradient, Gram matrix, Hessian times a vector. */
    OK(soft_bce_loss_sum_init(&loss));
    OK(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, gradient));
    OK(soft_bce_column_sums_start_gram(scales, COLUMNS, 1, quarter, gram));
    memcpy(other, gradient, sizeof other);
    memcpy(copy, gram, sizeof copy);
    OK(NAME(soft_bce_linear_sum_gradient)(&model, &loss, gradient, NULL));
    OK(soft_bce_column_sums_values(gradient, WIDTH, values));
    for (j = 0; j < WIDTH; j++)
        CHECK(close_to(values[j], exact[j], ROWS, EPSILON + GRID));
    OK(soft_bce_column_sum_rows(gradient, &rows));
    CHECK(rows == ROWS);
    OK(soft_bce_loss_sum_init(&again));
    OK(NAME(soft_bce_accumulate_gradient)(z, NAME(rows_t), ROWS, NULL, &again, g, NULL));
    CHECK(memcmp(&loss, &again, sizeof loss) == 0);
    /* The residuals as given factors. */
    second = model;
    second.factors = g;
    second.t = NULL;
    OK(NAME(soft_bce_linear_column_sums)(&second, SOFT_BCE_FACTOR_GIVEN, other, NULL));
    CHECK(memcmp(other, gradient, sizeof other) == 0);
    OK(NAME(soft_bce_linear_gram)(&model, SOFT_BCE_FACTOR_HESSIAN, gram, NULL));
    OK(soft_bce_column_sums_values(gram, GRAM, values));
    for (k = 0; k < GRAM; k++)
        CHECK(close_to(values[k], squares[k], ROWS, EPSILON + GRID));
    OK(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, other));
    OK(soft_bce_loss_sum_init(&again));
    OK(NAME(soft_bce_linear_sum_gradient_gram)(&model, SOFT_BCE_FACTOR_HESSIAN, &again, other, copy, NULL));
    CHECK(memcmp(&loss, &again, sizeof loss) == 0);
    CHECK(memcmp(other, gradient, sizeof other) == 0 && memcmp(gram, copy, sizeof gram) == 0);
    OK(NAME(soft_bce_linear_hessian_vector_scale)(&model, scales, NAME(beta), &quarter, NULL));
    OK(soft_bce_column_sums_start(scales, COLUMNS, 1, quarter, product));
    OK(NAME(soft_bce_linear_hessian_vector)(&model, NAME(beta), product, NULL));
    OK(soft_bce_column_sums_values(product, WIDTH, values));
    for (j = 0; j < WIDTH; j++)
        CHECK(close_to(values[j], hv[j], 4 * ROWS, EPSILON + GRID));

    /* Rows with gaps, in which there are NaN. */
    for (i = 0; i < ROWS * (COLUMNS + 3); i++)
        wide[i] = NAN;
    for (i = 0; i < ROWS; i++)
        memcpy(wide + i * (COLUMNS + 3), NAME(x) + i * COLUMNS, COLUMNS * sizeof(REAL));
    second = model;
    second.data = wide;
    second.stride = COLUMNS + 3;
    OK(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, other));
    OK(soft_bce_loss_sum_init(&again));
    OK(NAME(soft_bce_linear_sum_gradient)(&second, &again, other, NULL));
    CHECK(memcmp(&loss, &again, sizeof loss) == 0 && memcmp(other, gradient, sizeof other) == 0);

    /* The rows in reverse, in two parts. */
    for (i = 0; i < ROWS; i++) {
        memcpy(swapped + i * COLUMNS, NAME(x) + (ROWS - 1 - i) * COLUMNS, COLUMNS * sizeof(REAL));
        t[i] = NAME(rows_t)[ROWS - 1 - i];
        p[i] = NAME(offset)[ROWS - 1 - i];
    }
    OK(soft_bce_loss_sum_init(&again));
    for (i = 0; i < 2; i++) {
        second = model;
        second.data = swapped + i * 50 * COLUMNS;
        second.t = t + i * 50;
        second.offset = p + i * 50;
        second.row_count = i == 0 ? 50 : ROWS - 50;
        OK(soft_bce_loss_sum_init(&part));
        OK(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, parts[i]));
        OK(NAME(soft_bce_linear_sum_gradient)(&second, &part, parts[i], NULL));
        OK(soft_bce_loss_sum_merge(&again, &part));
    }
    CHECK(memcmp(parts[0], gradient, sizeof other) != 0);
    OK(soft_bce_column_sums_merge(parts[0], parts[1], WIDTH, NULL));
    CHECK(memcmp(&loss, &again, sizeof loss) == 0 && memcmp(parts[0], gradient, sizeof other) == 0);

    /* Groups add up to the whole. */
    second = model;
    second.groups = NAME(group);
    second.group_count = GROUPS;
    for (i = 0; i < GROUPS; i++)
        OK(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, grouped[i]));
    OK(soft_bce_loss_sum_init(&again));
    OK(NAME(soft_bce_linear_sum_gradient)(&second, &again, grouped[0], NULL));
    for (i = 1; i < GROUPS; i++)
        OK(soft_bce_column_sums_merge(grouped[0], grouped[i], WIDTH, NULL));
    OK(soft_bce_column_sums_values(grouped[0], WIDTH, values));
    OK(soft_bce_column_sums_values(gradient, WIDTH, whole));
    CHECK(memcmp(values, whole, sizeof whole) == 0);

    /* Exactly the scratch that is asked for, at the end of memory that may be used; from columns too. */
    {
        size_t needed = soft_bce_linear_scratch(COLUMNS, 1, 0, 1);
        double *scratch = guarded(needed * sizeof *scratch, 0);
        for (i = 0; i < 2; i++) {
            second = NAME(rows_model)(NULL, i);
            second.scratch = scratch;
            second.scratch_length = needed;
            OK(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, other));
            OK(soft_bce_column_sums_start_gram(scales, COLUMNS, 1, -2, copy));
            OK(soft_bce_loss_sum_init(&again));
            OK(NAME(soft_bce_linear_scan)(&second, scales, NULL));
            OK(NAME(soft_bce_linear_sum_gradient_gram)(&second, SOFT_BCE_FACTOR_HESSIAN, &again, other,
                                                       copy, NULL));
            CHECK(memcmp(other, gradient, sizeof other) == 0 && memcmp(gram, copy, sizeof gram) == 0);
        }
        second.groups = NAME(group);
        second.group_count = GROUPS;
        second.scratch_length = soft_bce_linear_scratch(COLUMNS, 1, GROUPS, 0);
        CHECK(second.scratch_length < needed);
        second.scratch = scratch + needed - second.scratch_length;
        for (i = 0; i < GROUPS; i++)
            OK(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, grouped[i]));
        OK(NAME(soft_bce_linear_sum_gradient)(&second, &again, grouped[0], NULL));
    }
}

/* Every error: its status and place, and nothing written but NaN to logits. */
static void NAME(test_linear_errors)(void)
{
    static soft_bce_column_sum gradient[WIDTH], before[WIDTH], gram[GRAM];
    static REAL z[ROWS];
    NAME(soft_bce_options) options = {0};
    NAME(soft_bce_linear) good, model;
    soft_bce_loss_sum loss, loss_before;
    int32_t scales[COLUMNS], bound = 7;
    size_t bad = 0, column = 0, i;
    double values[WIDTH];
    uint64_t rows;

    NAME(fill_rows)();
    for (i = 0; i < COLUMNS; i++)
        scales[i] = 1;
    good = NAME(rows_model)(&options, 0);
    good.bad_column = &column;
    options.weights = NAME(rows_w);
    OK(soft_bce_loss_sum_init(&loss));
    OK(soft_bce_column_sums_start(scales, COLUMNS, 1, 0, gradient));
    OK(soft_bce_column_sums_start_gram(scales, COLUMNS, 1, -2, gram));
    loss_before = loss;
    memcpy(before, gradient, sizeof before);
#define RUN(model) NAME(soft_bce_linear_sum_gradient)(model, &loss, gradient, &bad)
#define FAILS(model, status, place)                                                               \
    do {                                                                                          \
        bad = 999;                                                                                \
        REFUSED(RUN(model), status);                                                              \
        CHECK(bad == (place));                                                                    \
        CHECK(memcmp(&loss, &loss_before, sizeof loss) == 0);                                     \
        CHECK(memcmp(gradient, before, sizeof before) == 0);                                      \
    } while (0)
#define WRONG(place, value, status, index)                                                        \
    do {                                                                                          \
        REAL kept = place;                                                                        \
        place = value;                                                                            \
        FAILS(&good, status, (size_t)(index));                                                    \
        place = kept;                                                                             \
    } while (0)
    WRONG(NAME(x)[41 * COLUMNS + 3], NAN, SOFT_BCE_FEATURE_OUT_OF_SCALE, 41);
    CHECK(column == 3);
    WRONG(NAME(x)[40 * COLUMNS + 5], (REAL)2.5, SOFT_BCE_FEATURE_OUT_OF_SCALE, 40); /* of weight 0 */
    CHECK(column == 5);
    WRONG(NAME(beta)[2], INFINITY, SOFT_BCE_INVALID_COEFFICIENT, 2);
    WRONG(NAME(beta)[COLUMNS], NAN, SOFT_BCE_INVALID_OPTION, 999);
    WRONG(NAME(offset)[9], NAN, SOFT_BCE_INVALID_OFFSET, 9);
    WRONG(NAME(rows_w)[8], -1, SOFT_BCE_INVALID_WEIGHT, 8);
    WRONG(NAME(rows_t)[4], (REAL)1.5, SOFT_BCE_TARGET_OUT_OF_RANGE, 4);
    WRONG(NAME(rows_w)[8], 100, SOFT_BCE_FACTOR_OUT_OF_SCALE, 8);
    {
        REAL kept = NAME(beta)[0];
        NAME(beta)[0] = sizeof(REAL) == 4 ? (REAL)3e38 : (REAL)1.7e308;
        NAME(beta)[1] = NAME(beta)[0];
        bad = 999;
        REFUSED(NAME(soft_bce_linear_logits)(&good, z, &bad), SOFT_BCE_INVALID_LOGIT);
        CHECK(bad < ROWS);
        for (i = 0; i < ROWS; i++)
            CHECK(isnan(z[i]));
        NAME(beta)[0] = kept;
        NAME(beta)[1] = (REAL)(1 % 7 - 3) / 4;
    }
    OK(NAME(soft_bce_linear_predict)(&good, z, NULL));
    CHECK(!isnan(z[0]));

    /* Groups. */
    model = good;
    model.groups = NAME(group);
    model.group_count = 2;
    {
        static soft_bce_column_sum two[2 * WIDTH];
        memcpy(two, before, sizeof before);
        memcpy(two + WIDTH, before, sizeof before);
        REFUSED(NAME(soft_bce_linear_sum_gradient)(&model, &loss, two, &bad),
                SOFT_BCE_GROUP_OUT_OF_RANGE);
        CHECK(bad == 2);
        model.group_count = GROUPS;
    }

    /* Options that a row has no use for, unknown factors and backends. */
    model = good;
    options.row_weights = NAME(rows_w);
    FAILS(&model, SOFT_BCE_UNSUPPORTED_OPTIONS, 999);
    options.row_weights = NULL;
    options.pos_weights = NAME(rows_w);
    FAILS(&model, SOFT_BCE_UNSUPPORTED_OPTIONS, 999);
    REFUSED(NAME(soft_bce_linear_predict)(&model, z, NULL), SOFT_BCE_UNSUPPORTED_OPTIONS);
    CHECK(isnan(z[0]) && isnan(z[ROWS - 1]));
    options.pos_weights = NULL;
    options.backend = 99;
    FAILS(&model, SOFT_BCE_INVALID_OPTION, 999);
    OK(NAME(soft_bce_sigmoid)(NAME(x), ROWS, z));
    REFUSED(NAME(soft_bce_linear_predict)(&model, z, NULL), SOFT_BCE_INVALID_OPTION);
    CHECK(isnan(z[0]) && isnan(z[ROWS - 1]));
    options.backend = 0;
    REFUSED(NAME(soft_bce_linear_column_sums)(&good, 4, gradient, NULL), SOFT_BCE_INVALID_OPTION);

    /* Lengths. */
    model.scratch_length = soft_bce_linear_scratch(COLUMNS, 1, 0, 0) / 2;
    FAILS(&model, SOFT_BCE_LENGTH_MISMATCH, 999);
    model.scratch_length = 3;
    FAILS(&model, SOFT_BCE_LENGTH_MISMATCH, 999);
    model = NAME(rows_model)(&options, 1);
    model.scratch_length = 3;
    REFUSED(NAME(soft_bce_linear_logits)(&model, z, NULL), SOFT_BCE_LENGTH_MISMATCH);
    model = good;
    model.stride = COLUMNS - 1;
    FAILS(&model, SOFT_BCE_LENGTH_MISMATCH, 999);
    CHECK(soft_bce_linear_scratch(SIZE_MAX, 1, 0, 1) == SIZE_MAX);
    CHECK(soft_bce_linear_scratch(100, 1, SIZE_MAX, 1) == SIZE_MAX);

    /* States and scales. */
    memset(gradient, 0, sizeof gradient[0]);
    REFUSED(RUN(&good), SOFT_BCE_MALFORMED_COLUMN_SUM);
    REFUSED(soft_bce_column_sums_values(gradient, WIDTH, values), SOFT_BCE_MALFORMED_COLUMN_SUM);
    CHECK(isnan(values[0]) && isnan(values[WIDTH - 1]));
    REFUSED(soft_bce_column_sum_rows(gradient, &rows), SOFT_BCE_MALFORMED_COLUMN_SUM);
    REFUSED(soft_bce_column_sums_merge(gradient, before, WIDTH, &bad), SOFT_BCE_MALFORMED_COLUMN_SUM);
    memcpy(gradient, before, sizeof before);
    memset(&loss, 0, sizeof loss);
    REFUSED(RUN(&good), SOFT_BCE_MALFORMED_LOSS_SUM);
    loss = loss_before;
    scales[4] = 2;
    OK(soft_bce_column_sums_start(scales, COLUMNS, 1, 0, gradient));
    REFUSED(soft_bce_column_sums_merge(gradient, before, WIDTH, &bad), SOFT_BCE_SCALE_MISMATCH);
    CHECK(bad == 4);
    REFUSED(NAME(soft_bce_linear_sum_gradient_gram)(&good, SOFT_BCE_FACTOR_HESSIAN, &loss, gradient, gram,
                                                    &bad),
            SOFT_BCE_SCALE_MISMATCH);
    CHECK(bad == 4);
    for (i = 0; i < 3; i++) {
        scales[4] = i == 0 ? -481 : i == 1 ? 960 : 959;
        memcpy(gradient, before, sizeof before);
        REFUSED(soft_bce_column_sums_start(scales, COLUMNS, 1, 1, gradient), SOFT_BCE_SCALE_OUT_OF_RANGE);
        CHECK(memcmp(gradient, before, sizeof before) == 0);
        if (i < 2)
            REFUSED(NAME(soft_bce_linear_scan)(&good, scales, NULL), SOFT_BCE_SCALE_OUT_OF_RANGE);
    }
    scales[4] = 500;
    REFUSED(soft_bce_column_sums_start_gram(scales, COLUMNS, 1, 0, gram), SOFT_BCE_SCALE_OUT_OF_RANGE);
    scales[4] = 1;
    /* 2^64 rows. */
    memset(gradient[0].bytes + 8, 0xff, 8);
    REFUSED(RUN(&good), SOFT_BCE_TOO_MANY_ROWS);
    memcpy(gradient, before, sizeof before);

    /* Pointers. */
    REFUSED(RUN(NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_linear_sum_gradient)(&good, NULL, gradient, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_linear_sum_gradient)(&good, &loss, NULL, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_linear_logits)(&good, NULL, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_linear_scan)(&good, NULL, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_linear_factor_scale)(&good, 0, NULL, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_linear_hessian_vector)(&good, NULL, gradient, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_linear_hessian_vector_scale)(&good, NULL, NAME(beta), &bound, NULL),
            SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_linear_gram)(&good, 0, NULL, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_linear_column_sums)(&good, SOFT_BCE_FACTOR_GIVEN, gradient, NULL),
            SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_column_sums_start(NULL, COLUMNS, 1, 0, gradient), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_column_sums_start_gram(scales, COLUMNS, 1, 0, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_column_sums_merge(gradient, NULL, WIDTH, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_column_sums_merge(gradient, gradient, WIDTH, NULL), SOFT_BCE_OVERLAP);
    REFUSED(soft_bce_column_sums_values(gradient, WIDTH, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_column_sum_rows(NULL, &rows), SOFT_BCE_NULL_POINTER);
#define POINTER(member, value, status)                                                            \
    do {                                                                                          \
        model = good;                                                                             \
        model.member = value;                                                                     \
        FAILS(&model, status, 999);                                                               \
    } while (0)
    POINTER(data, NULL, SOFT_BCE_NULL_POINTER);
    POINTER(coefficients, NULL, SOFT_BCE_NULL_POINTER);
    POINTER(t, NULL, SOFT_BCE_NULL_POINTER);
    POINTER(scratch, NULL, SOFT_BCE_NULL_POINTER);
    POINTER(t, (REAL *)((uintptr_t)(void *)NAME(rows_t) + 1), SOFT_BCE_MISALIGNED);
    POINTER(offset, (REAL *)((uintptr_t)(void *)NAME(rows_t) + 1), SOFT_BCE_MISALIGNED);
    POINTER(stride, SIZE_MAX / 2, SOFT_BCE_LENGTH_OVERFLOW);
    POINTER(column_count, SIZE_MAX, SOFT_BCE_LENGTH_OVERFLOW);
    POINTER(row_count, SIZE_MAX / 8, SOFT_BCE_LENGTH_OVERFLOW);
    POINTER(scratch, (double *)(void *)NAME(x), SOFT_BCE_OVERLAP);
    POINTER(bad_column, (size_t *)(void *)NAME(scratch), SOFT_BCE_OVERLAP);
    /* The model itself, and weights that are refused, are memory of the call. */
    POINTER(bad_column, &model.row_count, SOFT_BCE_OVERLAP);
    POINTER(scratch, (double *)(void *)&model, SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_linear_scan)(&model, (int32_t *)(void *)&model, NULL), SOFT_BCE_OVERLAP);
    options.row_weights = z;
    options.row_count = ROWS;
    REFUSED(NAME(soft_bce_linear_logits)(&good, z, NULL), SOFT_BCE_OVERLAP);
    options.row_weights = NULL;
    options.row_count = 0;
    REFUSED(NAME(soft_bce_linear_logits)(&good, NAME(x), NULL), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_linear_logits)(&good, NAME(offset), NULL), SOFT_BCE_OVERLAP);
    model = NAME(rows_model)(NULL, 1);
    REFUSED(NAME(soft_bce_linear_logits)(&model, NAME(by_column)[7], NULL), SOFT_BCE_OVERLAP);
    /* What is wrong with a column comes before overlaps, be it the length alone: groups of 4 bytes a row
     * still fit, and cover the scratch. */
    model.bad_column = &bad;
    REFUSED(NAME(soft_bce_linear_logits)(&model, z, &bad), SOFT_BCE_OVERLAP);
    NAME(column)[7] = NULL;
    REFUSED(NAME(soft_bce_linear_logits)(&model, z, &bad), SOFT_BCE_NULL_POINTER);
    model.bad_column = NULL;
    REFUSED(NAME(soft_bce_linear_logits)(&model, z, NULL), SOFT_BCE_NULL_POINTER);
    NAME(column)[7] = (const REAL *)((uintptr_t)(const void *)NAME(by_column)[7] + 1);
    model.bad_column = &bad;
    REFUSED(NAME(soft_bce_linear_logits)(&model, z, &bad), SOFT_BCE_MISALIGNED);
    NAME(column)[7] = NAME(by_column)[7];
    model.bad_column = NULL;
    model.offset = NULL;
    model.groups = NAME(group);
    model.row_count = sizeof(REAL) == 4 ? PTRDIFF_MAX / 4 + (size_t)1 : PTRDIFF_MAX / 4;
    REFUSED(NAME(soft_bce_linear_scan)(&model, scales, NULL), SOFT_BCE_LENGTH_OVERFLOW);
    REFUSED(NAME(soft_bce_linear_factor_scale)(&model, 0, &bound, NULL), SOFT_BCE_LENGTH_OVERFLOW);
    model = NAME(rows_model)(NULL, 1);
    OK(NAME(soft_bce_linear_logits)(&model, z, NULL));

    /* Nothing: no rows, no columns. */
    model = good;
    model.row_count = 0;
    model.data = NULL;
    model.t = NULL;
    OK(RUN(&model));
    CHECK(memcmp(gradient, before, sizeof before) == 0);
    model = good;
    model.column_count = 0;
    model.data = NULL;
    model.coefficients = NULL;
    OK(NAME(soft_bce_linear_logits)(&model, z, NULL));
    for (i = 0; i < ROWS; i++)
        CHECK(z[i] == NAME(beta)[COLUMNS] + NAME(offset)[i]);
    OK(RUN(&good));
    CHECK(memcmp(gradient, before, sizeof before) != 0);
#undef RUN
#undef FAILS
#undef WRONG
#undef POINTER
}
#undef GRID
