//! The functions in SQL against the kernel on the same rows, whatever the partitions, batches, groups
//! and order of rows.

use std::error::Error;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Float32Array, Float64Array, Int32Array};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int32Type, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};
use soft_bce::{Bce, LossSum};

const ROWS: usize = 1000;

/// A row of the table, where nothing is NULL.
#[derive(Clone, Copy)]
struct Row {
    z: f64,
    t: f64,
    w: f64,
    group: i32,
}

/// Logits of every size, so that floating-point sums depend on the order. Some rows have a NULL.
fn rows() -> Vec<Option<Row>> {
    let row = |i: usize| Row {
        z: ((i * 7919 % 1999) as f64 - 1000.0) * 2.0_f64.powi(i as i32 % 40 - 36),
        t: (i * 37 % 101) as f64 / 100.0,
        w: (i * 53 % 40) as f64 / 20.0,
        group: (i * i % 7) as i32,
    };
    (0..ROWS).map(|i| (i % 11 != 5).then(|| row(i))).collect()
}

/// The table in as many partitions, of several batches each, on as many threads.
fn context(rows: &[Option<Row>], partitions: usize) -> Result<SessionContext> {
    let config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(64)
        // Partial aggregation of many groups is given up soon.
        .set_usize(
            "datafusion.execution.skip_partial_aggregation_probe_rows_threshold",
            100,
        )
        .set(
            "datafusion.execution.skip_partial_aggregation_probe_ratio_threshold",
            &ScalarValue::Float64(Some(0.3)),
        );
    let mut context = SessionContext::new_with_config(config);
    soft_bce_datafusion::register(&mut context)?;
    let field = |name, kind| Field::new(name, kind, true);
    let schema = Arc::new(Schema::new(vec![
        field("id", DataType::Int32),
        field("g", DataType::Int32),
        field("z", DataType::Float64),
        field("t", DataType::Float64),
        field("w", DataType::Float64),
        field("z32", DataType::Float32),
        field("t32", DataType::Float32),
    ]));
    let batch = |start: usize, rows: &[Option<Row>]| {
        let double = |value: fn(&Row) -> f64| -> Float64Array {
            rows.iter().map(|row| row.as_ref().map(value)).collect()
        };
        let single = |value: fn(&Row) -> f64| -> Float32Array {
            let value = |row: &Row| value(row) as f32;
            rows.iter().map(|row| row.as_ref().map(value)).collect()
        };
        // Groups are never NULL: a NULL logit still has one.
        let group = |row: &Option<Row>| row.map_or(0, |row| row.group);
        let ids: Int32Array = (start..start + rows.len()).map(|i| i as i32).collect();
        let groups: Int32Array = rows.iter().map(group).collect();
        let columns: Vec<Arc<dyn Array>> = vec![
            Arc::new(ids),
            Arc::new(groups),
            Arc::new(double(|row| row.z)),
            Arc::new(double(|row| row.t)),
            Arc::new(double(|row| row.w)),
            Arc::new(single(|row| row.z)),
            Arc::new(single(|row| row.t)),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).map_err(DataFusionError::from)
    };
    let each = rows.len().div_ceil(partitions);
    let partition = |(number, rows): (usize, &[Option<Row>])| -> Result<Vec<RecordBatch>> {
        let batches = rows.chunks(47).enumerate();
        batches
            .map(|(index, rows)| batch(number * each + index * 47, rows))
            .collect()
    };
    let parts: Vec<_> = rows
        .chunks(each)
        .enumerate()
        .map(partition)
        .collect::<Result<_>>()?;
    let table = MemTable::try_new(Arc::clone(&schema), parts)?;
    context.register_table("data", Arc::new(table))?;
    Ok(context)
}

async fn query(context: &SessionContext, sql: &str) -> Result<RecordBatch> {
    let frame = context.sql(sql).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await?;
    Ok(datafusion::arrow::compute::concat_batches(
        &schema, &batches,
    )?)
}

/// The doubles of a result's column.
fn doubles(batch: &RecordBatch, column: usize) -> Vec<Option<f64>> {
    batch
        .column(column)
        .as_primitive::<Float64Type>()
        .iter()
        .collect()
}

/// What the aggregates are of these rows, by the kernel: sums and means with and without weights.
fn wanted(rows: &[Row]) -> Vec<Option<f64>> {
    let column = |value: fn(&Row) -> f64| rows.iter().map(value).collect::<Vec<_>>();
    let (z, t, w) = (
        column(|row| row.z),
        column(|row| row.t),
        column(|row| row.w),
    );
    let single = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<_>>();
    let (plain, weighted) = (Bce::new(), Bce::new().weights(&w));
    let mut sum = LossSum::new();
    z.iter().for_each(|&z| sum.add(z));
    vec![
        plain.sum(&z, &t).ok(),
        weighted.sum(&z, &t).ok(),
        plain.mean(&z, &t).ok(),
        weighted.mean(&z, &t).ok(),
        Bce::new().sum(&single(&z), &single(&t)).ok(),
        Some(sum.to_f64()),
    ]
}

const AGGREGATES: &str = "bce_sum(z, t), bce_sum(z, t, w), bce_mean(z, t), bce_mean(z, t, w), \
    bce_sum(z32, t32), exact_sum(z)";

fn bits(values: &[Option<f64>]) -> Vec<Option<u64>> {
    values.iter().map(|value| value.map(f64::to_bits)).collect()
}

fn found(batch: &RecordBatch, from: usize, row: usize) -> Vec<Option<f64>> {
    (from..from + 6)
        .map(|column| doubles(batch, column)[row])
        .collect()
}

#[tokio::test]
async fn any_partitions_and_order_give_the_kernels_bits() -> Result<()> {
    let mut rows = rows();
    let wanted = wanted(&rows.iter().flatten().copied().collect::<Vec<_>>());
    for partitions in [1, 2, 3, 8, 1000] {
        let context = context(&rows, partitions)?;
        let batch = query(&context, &format!("SELECT {AGGREGATES} FROM data")).await?;
        assert_eq!(
            bits(&found(&batch, 0, 0)),
            bits(&wanted),
            "{partitions} partitions"
        );
        rows.reverse();
        rows.rotate_left(partitions * 7 % ROWS);
    }
    Ok(())
}

#[tokio::test]
async fn groups() -> Result<()> {
    let rows = rows();
    let by = |key: fn(usize, &Row) -> bool| {
        let numbered = rows.iter().enumerate();
        numbered
            .filter_map(|(i, row)| row.filter(|row| key(i, row)))
            .collect::<Vec<_>>()
    };
    for partitions in [1, 2, 3, 8] {
        let context = context(&rows, partitions)?;
        let sql = format!("SELECT g, {AGGREGATES} FROM data GROUP BY g ORDER BY g");
        let batch = query(&context, &sql).await?;
        let groups = batch.column(0).as_primitive::<Int32Type>();
        assert_eq!(groups.values(), &[0, 1, 2, 4]);
        let keys: [fn(usize, &Row) -> bool; 4] = [
            |_, row| row.group == 0,
            |_, row| row.group == 1,
            |_, row| row.group == 2,
            |_, row| row.group == 4,
        ];
        for (at, key) in keys.into_iter().enumerate() {
            assert_eq!(bits(&found(&batch, 1, at)), bits(&wanted(&by(key))));
        }

        // A group for each pair of rows: states of single rows are merged.
        let sql = format!("SELECT id / 2 AS pair, {AGGREGATES} FROM data GROUP BY 1 ORDER BY 1");
        let batch = query(&context, &sql).await?;
        assert_eq!(batch.num_rows(), ROWS / 2);
        for (pair, rows) in rows.chunks(2).enumerate() {
            let rows: Vec<_> = rows.iter().flatten().copied().collect();
            let wanted = if rows.is_empty() {
                vec![None; 6]
            } else {
                wanted(&rows)
            };
            assert_eq!(
                bits(&found(&batch, 1, pair)),
                bits(&wanted),
                "{partitions} partitions, pair {pair}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn filters() -> Result<()> {
    let rows = rows();
    let some = |group: Option<i32>| {
        let kept = |row: &&Row| row.w > 1.0 && group.is_none_or(|group| row.group == group);
        wanted(
            &rows
                .iter()
                .flatten()
                .filter(kept)
                .copied()
                .collect::<Vec<_>>(),
        )
    };
    for partitions in [1, 3] {
        let context = context(&rows, partitions)?;
        let filtered =
            AGGREGATES.replace("), ", ") FILTER (WHERE w > 1), ") + " FILTER (WHERE w > 1)";
        let batch = query(&context, &format!("SELECT {filtered} FROM data")).await?;
        assert_eq!(bits(&found(&batch, 0, 0)), bits(&some(None)));
        let sql = format!("SELECT g, {filtered} FROM data GROUP BY g ORDER BY g");
        let batch = query(&context, &sql).await?;
        for (at, group) in [0, 1, 2, 4].into_iter().enumerate() {
            assert_eq!(bits(&found(&batch, 1, at)), bits(&some(Some(group))));
        }
    }
    Ok(())
}

/// NULLs of one argument only, in rows where another has a value; and a filter that is NULL.
#[tokio::test]
async fn a_row_with_any_null_does_not_count() -> Result<()> {
    for partitions in [1, 3] {
        let context = context(&rows(), partitions)?;
        let some = "(SELECT id, g, NULLIF(id % 3, 0) * z AS z, NULLIF(id % 5, 0) * t / 5 AS t, \
            NULLIF(id % 7, 0) * w AS w, NULLIF(id % 3, 0) < 2 AS f FROM data)";
        for (aggregate, counts) in [
            ("bce_sum(z, t)", "z IS NOT NULL AND t IS NOT NULL"),
            ("bce_mean(z, t)", "z IS NOT NULL AND t IS NOT NULL"),
            (
                "bce_mean(z, t, w)",
                "z IS NOT NULL AND t IS NOT NULL AND w IS NOT NULL",
            ),
            ("exact_sum(z)", "z IS NOT NULL"),
            ("exact_sum(w) FILTER (WHERE f)", "w IS NOT NULL AND f"),
        ] {
            let (bare, _) = aggregate.split_once(" FILTER").unwrap_or((aggregate, ""));
            for key in ["1 + 1", "g", "id / 4"] {
                let values = |aggregate: &str, counts: &str| {
                    let sql = format!(
                        "SELECT {key} AS k, {aggregate} AS v FROM {some} WHERE {counts} GROUP BY 1"
                    );
                    format!("SELECT v FROM ({sql}) WHERE v IS NOT NULL ORDER BY k")
                };
                let found = doubles(&query(&context, &values(aggregate, "true")).await?, 0);
                let wanted = doubles(&query(&context, &values(bare, counts)).await?, 0);
                assert!(!found.is_empty());
                assert_eq!(bits(&found), bits(&wanted), "{aggregate} by {key}");
            }
            let found = query(&context, &format!("SELECT {aggregate} FROM {some}")).await?;
            let wanted = format!("SELECT {bare} FROM {some} WHERE {counts}");
            let wanted = query(&context, &wanted).await?;
            assert_eq!(bits(&doubles(&found, 0)), bits(&doubles(&wanted, 0)));
        }
    }
    Ok(())
}

#[tokio::test]
async fn windows_from_the_first_row() -> Result<()> {
    let rows = rows();
    let context = context(&rows, 2)?;
    let sql = "SELECT bce_sum(z, t) OVER (ORDER BY id) FROM data ORDER BY id";
    let running = doubles(&query(&context, sql).await?, 0);
    let mut sum = LossSum::new();
    for (row, running) in rows.iter().zip(running) {
        if let Some(row) = row {
            Bce::new().accumulate(&[row.z], &[row.t], &mut sum).unwrap();
        }
        let wanted = (sum.count() > 0).then(|| sum.to_f64());
        assert_eq!(running.map(f64::to_bits), wanted.map(f64::to_bits));
    }
    let sql = "SELECT bce_sum(z, t) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM data";
    assert!(query(&context, sql).await.is_err());
    Ok(())
}

#[tokio::test]
async fn functions_of_rows() -> Result<()> {
    let rows = rows();
    let context = context(&rows, 1)?;
    let sql = "SELECT bce_loss(z, t), bce_loss(z, t, w), sigmoid(z), log_sigmoid(z), logit(t), \
        bce_loss(z32, t32) FROM data ORDER BY id";
    let batch = query(&context, sql).await?;
    assert_eq!(batch.num_rows(), ROWS);
    let singles = batch.column(5).as_primitive::<Float32Type>();
    for (at, row) in rows.iter().enumerate() {
        let found: Vec<_> = (0..5).map(|column| doubles(&batch, column)[at]).collect();
        let single = (!singles.is_null(at)).then(|| singles.value(at).to_bits());
        let Some(row) = row else {
            assert_eq!((found, single), (vec![None; 5], None));
            continue;
        };
        let (z, t, w) = ([row.z], [row.t], [row.w]);
        let mut wanted = [[0.0]; 5];
        let mut wanted_single = [0.0];
        let [loss, weighted, sigmoid, log_sigmoid, logit] = &mut wanted;
        Bce::new().loss(&z, &t, loss).unwrap();
        Bce::new().weights(&w).loss(&z, &t, weighted).unwrap();
        soft_bce::sigmoid(&z, sigmoid).unwrap();
        soft_bce::log_sigmoid(&z, log_sigmoid).unwrap();
        soft_bce::logit(&t, logit).unwrap();
        Bce::new()
            .loss(&[row.z as f32], &[row.t as f32], &mut wanted_single)
            .unwrap();
        assert_eq!(bits(&found), wanted.map(|[value]| Some(value.to_bits())));
        assert_eq!(single, Some(wanted_single[0].to_bits()));
    }
    let batch = query(&context, "SELECT bce_loss(z32, t) FROM data ORDER BY id").await?;
    for (row, found) in rows.iter().zip(doubles(&batch, 0)) {
        let mut wanted = [0.0];
        if let Some(row) = row {
            let z = f64::from(row.z as f32);
            Bce::new().loss(&[z], &[row.t], &mut wanted).unwrap();
        }
        assert_eq!(
            found.map(f64::to_bits),
            row.map(|_| wanted[0].to_bits()),
            "f32 with f64 is f64"
        );
    }
    let batch = query(&context, "SELECT sigmoid(0), logit(NULL), bce_loss(0, 1)").await?;
    let ln_2 = std::f64::consts::LN_2;
    assert_eq!(
        (0..3)
            .map(|column| doubles(&batch, column)[0])
            .collect::<Vec<_>>(),
        [Some(0.5), None, Some(ln_2)]
    );
    Ok(())
}

#[tokio::test]
async fn nothing_is_null() -> Result<()> {
    let context = context(&rows(), 3)?;
    for source in ["data WHERE id < 0", "data WHERE z IS NULL"] {
        let batch = query(&context, &format!("SELECT {AGGREGATES} FROM {source}")).await?;
        assert_eq!(found(&batch, 0, 0), [None; 6], "{source}");
    }
    let sql = "SELECT bce_sum(z, t, 0), bce_mean(z, t, 0) FROM data";
    let batch = query(&context, sql).await?;
    assert_eq!(
        (doubles(&batch, 0)[0], doubles(&batch, 1)[0]),
        (Some(0.0), None)
    );
    Ok(())
}

/// A mean of which sum and total weight are beyond `f64`.
#[tokio::test]
async fn totals_beyond_the_range() -> Result<()> {
    let mut context = SessionContext::new();
    soft_bce_datafusion::register(&mut context)?;
    let sql = "SELECT bce_mean(z, t, w) FROM (VALUES (0.5, 0.5, 1e308), (-0.5, 0.25, 1.5e308), \
        (1.0, 1.0, 0.5e308)) AS v(z, t, w)";
    let found = doubles(&query(&context, sql).await?, 0)[0];
    let wanted = Bce::new()
        .weights(&[1e308, 1.5e308, 0.5e308])
        .mean(&[0.5, -0.5, 1.0], &[0.5, 0.25, 1.0])
        .unwrap();
    assert_eq!(found, Some(wanted));
    Ok(())
}

#[tokio::test]
async fn what_is_refused() -> Result<()> {
    let mut rows = rows();
    let place = 990;
    rows[place] = rows[place].map(|row| Row { t: 1.5, ..row });
    let context = context(&rows, 3)?;
    for sql in [
        "SELECT bce_sum(z, t) FROM data",
        "SELECT bce_mean(z, t, w) FROM data",
        "SELECT g, bce_sum(z, t) FROM data GROUP BY g",
        "SELECT id, bce_sum(z, t) FROM data GROUP BY id",
        "SELECT bce_loss(z, t) FROM data",
        "SELECT logit(t) FROM data",
    ] {
        let error = query(&context, sql).await.unwrap_err();
        let mut root: &(dyn Error + 'static) = &error;
        let kernel = loop {
            if let Some(kernel) = root.downcast_ref::<soft_bce::Error>() {
                break *kernel;
            }
            root = root
                .source()
                .unwrap_or_else(|| panic!("{sql} gives {error}"));
        };
        // In a batch of 47 rows, behind four with a NULL.
        let batch = place - 2 * ROWS.div_ceil(3);
        let wanted = soft_bce::Error::TargetOutOfRange {
            index: batch % 47,
            value: 1.5,
        };
        assert_eq!(kernel, wanted, "{sql}");
        assert!(error.to_string().contains("target 1.5"), "{error}");
    }
    for (sql, part) in [
        ("SELECT bce_sum(z, t, -1) FROM data", "weight -1"),
        ("SELECT bce_sum(z) FROM data", "2 to 3 arguments"),
        ("SELECT bce_sum(z, 'a') FROM data", "takes numbers"),
        (
            "SELECT exact_sum(CAST(id AS BIGINT)) FROM data",
            "exact_sum of Int64",
        ),
        ("SELECT bce_sum(DISTINCT z, t) FROM data", "DISTINCT"),
        ("SELECT sigmoid(z, t) FROM data", "1 to 1 arguments"),
    ] {
        let error = query(&context, sql).await.unwrap_err().to_string();
        assert!(error.contains(part), "{sql}: {error}");
    }
    // The session goes on.
    let batch = query(&context, "SELECT bce_sum(z, t) FROM data WHERE t <= 1").await?;
    assert!(doubles(&batch, 0)[0].is_some());
    Ok(())
}
