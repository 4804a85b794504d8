/* The linear head on rows that tests/linear.rs has too: a hash of all sums. Included with REAL and NAME
 * set. */

#ifndef ROWS_H
#define ROWS_H
enum {
    ROWS = 203,
    COLUMNS = 19,
    WIDTH = COLUMNS + 1,
    GROUPS = 3,
    GRAM = WIDTH * (WIDTH + 1) / 2,
    SCRATCH = 8000
};

static uint64_t hash_bytes(uint64_t hash, const unsigned char *bytes, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u; /* FNV-1a */
    return hash;
}

static uint64_t hash_sums(uint64_t hash, const soft_bce_column_sum *sums, size_t n)
{
    return hash_bytes(hash, sums[0].bytes, n * sizeof *sums);
}
#endif

static REAL NAME(x)[ROWS * COLUMNS], NAME(by_column)[COLUMNS][ROWS], NAME(rows_t)[ROWS];
static REAL NAME(rows_w)[ROWS], NAME(offset)[ROWS], NAME(beta)[WIDTH], NAME(predicted)[ROWS];
static const REAL *NAME(column)[COLUMNS];
static uint32_t NAME(group)[ROWS];
static double NAME(scratch)[SCRATCH];

/* All is exact in float. */
static void NAME(fill_rows)(void)
{
    int i, j;
    for (i = 0; i < ROWS; i++) {
        for (j = 0; j < COLUMNS; j++) {
            NAME(x)[i * COLUMNS + j] = (REAL)((i * 7 + j * 13 + i * j) % 29 - 14) / 8;
            NAME(by_column)[j][i] = NAME(x)[i * COLUMNS + j];
        }
        NAME(rows_t)[i] = (REAL)(i * 5 % 17) / 16;
        NAME(rows_w)[i] = (REAL)(i % 5) / 4;
        NAME(offset)[i] = (REAL)(i % 9 - 4) / 8;
        NAME(group)[i] = (uint32_t)(i % GROUPS);
    }
    for (j = 0; j < COLUMNS; j++) {
        NAME(column)[j] = NAME(by_column)[j];
        NAME(beta)[j] = (REAL)(j % 7 - 3) / 4;
    }
    NAME(beta)[COLUMNS] = (REAL)0.25; /* the intercept */
}

static NAME(soft_bce_linear) NAME(rows_model)(const NAME(soft_bce_options) *options, int columnar)
{
    NAME(soft_bce_linear) model = {0};
    model.data = columnar ? NULL : NAME(x);
    model.columns = columnar ? NAME(column) : NULL;
    model.row_count = ROWS;
    model.column_count = COLUMNS;
    model.coefficients = NAME(beta);
    model.intercept = NAME(beta) + COLUMNS;
    model.offset = NAME(offset);
    model.t = NAME(rows_t);
    model.options = options;
    model.scratch = NAME(scratch);
    model.scratch_length = SCRATCH;
    return model;
}

/* Every operation; the first status that is not SOFT_BCE_OK. */
static soft_bce_status NAME(hash_rows)(uint32_t backend, int columnar, uint64_t *hash)
{
    static soft_bce_column_sum gradient[GROUPS * WIDTH], products[WIDTH], gram[GRAM], squares[GRAM];
    NAME(soft_bce_options) options = {0};
    NAME(soft_bce_linear) model;
    soft_bce_loss_sum loss;
    int32_t scales[COLUMNS], bound = 0;
    int i;
#define DO(call)                                                                                  \
    do {                                                                                          \
        soft_bce_status status = (call);                                                          \
        if (status != SOFT_BCE_OK)                                                                \
            return status;                                                                        \
    } while (0)

    NAME(fill_rows)();
    options.weights = NAME(rows_w);
    options.pos_weight = 3;
    options.label_smoothing = (REAL)0.125;
    options.temperature = (REAL)0.75;
    options.backend = backend;
    model = NAME(rows_model)(&options, columnar);
    for (i = 0; i < COLUMNS; i++)
        scales[i] = SOFT_BCE_LEAST_SCALE;
    DO(NAME(soft_bce_linear_scan)(&model, scales, NULL));
    DO(soft_bce_loss_sum_init(&loss));
    DO(NAME(soft_bce_linear_factor_scale)(&model, SOFT_BCE_FACTOR_RESIDUAL, &bound, NULL));
    for (i = 0; i < GROUPS; i++)
        DO(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, gradient + i * WIDTH));
    DO(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, products));
    DO(NAME(soft_bce_linear_factor_scale)(&model, SOFT_BCE_FACTOR_SQUARED_RESIDUAL, &bound, NULL));
    DO(soft_bce_column_sums_start_gram(scales, COLUMNS, 1, bound, squares));
    DO(NAME(soft_bce_linear_factor_scale)(&model, SOFT_BCE_FACTOR_HESSIAN, &bound, NULL));
    DO(soft_bce_column_sums_start_gram(scales, COLUMNS, 1, bound, gram));
    DO(NAME(soft_bce_linear_gram)(&model, SOFT_BCE_FACTOR_SQUARED_RESIDUAL, squares, NULL));
    DO(NAME(soft_bce_linear_sum_gradient_gram)(&model, SOFT_BCE_FACTOR_HESSIAN, &loss, products,
                                               gram, NULL));
    *hash = hash_sums(*hash, products, WIDTH);
    DO(NAME(soft_bce_linear_hessian_vector_scale)(&model, scales, NAME(beta), &bound, NULL));
    DO(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, products));
    DO(NAME(soft_bce_linear_hessian_vector)(&model, NAME(beta), products, NULL));
    *hash = hash_sums(*hash, products, WIDTH);
    *hash = hash_sums(*hash, gram, GRAM);
    *hash = hash_sums(*hash, squares, GRAM);
    model.groups = NAME(group);
    model.group_count = GROUPS;
    DO(NAME(soft_bce_linear_sum_gradient)(&model, &loss, gradient, NULL));
    model.factors = NAME(rows_t);
    DO(NAME(soft_bce_linear_column_sums)(&model, SOFT_BCE_FACTOR_GIVEN, gradient, NULL));
    *hash = hash_sums(*hash, gradient, GROUPS * WIDTH);
    *hash = hash_bytes(*hash, loss.bytes, SOFT_BCE_LOSS_SUM_BYTES);
    DO(NAME(soft_bce_linear_logits)(&model, NAME(predicted), NULL));
    *hash = hash_bytes(*hash, (const unsigned char *)NAME(predicted), sizeof NAME(predicted));
    DO(NAME(soft_bce_linear_predict)(&model, NAME(predicted), NULL));
    *hash = hash_bytes(*hash, (const unsigned char *)NAME(predicted), sizeof NAME(predicted));
#undef DO
    return SOFT_BCE_OK;
}
