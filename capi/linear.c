/* Loss and gradient of a linear model over five rows, at once and in two parts: the same bits.
 * README.md has the commands. */
#include <soft_bce.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 5, COLUMNS = 2, WIDTH = COLUMNS + 1 /* the intercept's derivative is the last */ };

static void check(soft_bce_status status, size_t index)
{
    if (status != SOFT_BCE_OK) {
        fprintf(stderr, "%s, at %zu\n", soft_bce_status_message(status), index);
        exit(1);
    }
}

int main(void)
{
    static const float x[ROWS][COLUMNS] = {{0.5f, -1}, {2, 0.25f}, {-3, 1.5f}, {0, 1}, {1, 1}};
    static const float t[ROWS] = {0.9f, 0.5f, 0.1f, 0, 1}, coefficients[COLUMNS] = {0.75f, -0.5f};
    static const float intercept = 0.125f;
    soft_bce_linear_f32 model = {0};
    soft_bce_column_sum gradient[WIDTH], parts[2][WIDTH];
    soft_bce_loss_sum loss;
    int32_t scales[COLUMNS] = {SOFT_BCE_LEAST_SCALE, SOFT_BCE_LEAST_SCALE}, bound;
    double sum, by_coefficient[WIDTH];
    size_t index = 0;
    int part;

    model.data = x[0];
    model.row_count = ROWS;
    model.column_count = COLUMNS;
    model.coefficients = coefficients;
    model.intercept = &intercept;
    model.t = t;
    model.scratch_length = soft_bce_linear_scratch(COLUMNS, 1, 0, 0);
    model.scratch = malloc(model.scratch_length * sizeof *model.scratch);
    if (model.scratch == NULL)
        return 1;
    /* The columns' magnitudes, and a bound on the residuals: the same for all parts. */
    check(soft_bce_linear_scan_f32(&model, scales, &index), index);
    check(soft_bce_linear_factor_scale_f32(&model, SOFT_BCE_FACTOR_RESIDUAL, &bound, &index), index);

    check(soft_bce_loss_sum_init(&loss), 0);
    check(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, gradient), 0);
    check(soft_bce_linear_sum_gradient_f32(&model, &loss, gradient, &index), index);
    check(soft_bce_loss_sum_value(&loss, &sum), 0);
    check(soft_bce_column_sums_values(gradient, WIDTH, by_coefficient), 0);
    printf("%.9f, by coefficients %.9f %.9f, by the intercept %.9f\n", sum, by_coefficient[0],
           by_coefficient[1], by_coefficient[2]);

    for (part = 0; part < 2; part++) {
        model.data = x[part * 3];
        model.t = t + part * 3;
        model.row_count = part == 0 ? 3 : ROWS - 3;
        check(soft_bce_column_sums_start(scales, COLUMNS, 1, bound, parts[part]), 0);
        check(soft_bce_linear_sum_gradient_f32(&model, &loss, parts[part], &index), index);
    }
    check(soft_bce_column_sums_merge(parts[0], parts[1], WIDTH, &index), index);
    free(model.scratch);
    return memcmp(parts[0], gradient, sizeof gradient) != 0;
}
