//! A fractional logit of Parquet files, by Newton steps whose passes are queries, in 1 to 8 partitions: the
//! bits of `fractional-logit` on the same rows in memory. Beside it a sum by DataFusion's own `SUM`.

use std::error::Error;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Float64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext, col};
use fractional_logit::{Data, Features, Fit, Model, State, Step};
use soft_bce_datafusion::call_of;

const COLUMNS: [&str; 4] = ["x1", "x2", "x3", "x4"];
/// Features spread over (-1, 1), targets that are fractions, weights of 1 to 3.
const PLANTS: &str = "SELECT x1, x2, x3, x4, w, sigmoid(1.5 * x1 - x2 + x3 / 2 - 0.25 + noise) AS t FROM (SELECT \
    (value * 7919 % 1999 - 999) / 1000.0 AS x1, (value * 5281 % 1777 - 888) / 900.0 AS x2, \
    (value * 3571 % 1511 - 755) / 760.0 AS x3, (value * 2833 % 1307 - 653) / 700.0 AS x4, \
    (value * 1237 % 997 - 498) / 300.0 AS noise, 1.0 + value % 3 AS w FROM generate_series(1, 200000))";

/// A context with the files as a table.
async fn context(files: &str, partitions: usize) -> datafusion::error::Result<SessionContext> {
    let config = SessionConfig::new().with_target_partitions(partitions);
    let mut context = SessionContext::new_with_config(config);
    soft_bce_datafusion::register(&mut context)?;
    let options = ParquetReadOptions::default();
    context.register_parquet("plants", files, options).await?;
    Ok(context)
}

/// The fit, its number of passes, and the bytes of its largest state.
async fn fit(rows: &DataFrame) -> Result<(Fit, usize, usize), Box<dyn Error>> {
    let mut solver = Model::new().solver(COLUMNS.len())?;
    let (mut passes, mut largest) = (0, 0);
    loop {
        let call = call_of(
            solver.task(),
            col("t"),
            Some(col("w")),
            COLUMNS.map(col).to_vec(),
        )?;
        let batches = rows
            .clone()
            .aggregate(vec![], vec![call])?
            .collect()
            .await?;
        let state = batches[0].column(0).as_binary::<i32>().value(0);
        (passes, largest) = (passes + 1, largest.max(state.len()));
        if let Step::Done(fit) = solver.step(&State::from_bytes(state)?)? {
            return Ok((*fit, passes, largest));
        }
    }
}

/// A column of all batches.
fn column(batches: &[RecordBatch], name: &str) -> Vec<f64> {
    let of_batch = |batch: &RecordBatch| match batch.column_by_name(name) {
        Some(column) => column.as_primitive::<Float64Type>().values().to_vec(),
        None => Vec::new(),
    };
    batches.iter().flat_map(of_batch).collect()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let files = format!("{}/", directory.path().display());
    let mut writer = SessionContext::new();
    soft_bce_datafusion::register(&mut writer)?;
    let write = format!("COPY ({PLANTS}) TO '{files}' STORED AS PARQUET");
    writer.sql(&write).await?.collect().await?;

    let batches = context(&files, 1)
        .await?
        .table("plants")
        .await?
        .collect()
        .await?;
    let x = COLUMNS.map(|name| column(&batches, name));
    let x: Vec<&[f64]> = x.iter().map(Vec::as_slice).collect();
    let (t, w) = (column(&batches, "t"), column(&batches, "w"));
    let data = Data::new(Features::columns(&x, t.len())?, &t).weights(&w);
    let wanted = Model::new().fit(&data)?;
    println!("in memory: {:?}", wanted.coefficients());

    for partitions in [1, 2, 3, 8] {
        let context = context(&files, partitions).await?;
        let (fit, passes, bytes) = fit(&context.table("plants").await?).await?;
        if fit.coefficients() != wanted.coefficients() {
            return Err(format!("other coefficients: {:?}", fit.coefficients()).into());
        }
        let plain = context
            .sql("SELECT SUM(w * x1 * (sigmoid(x1) - t)) FROM plants")
            .await?;
        let plain = plain.collect().await?;
        let of_sum = plain[0].column(0).as_primitive::<Float64Type>().value(0);
        println!(
            "{partitions} partitions: the same, in {passes} passes, by states of up to {bytes} bytes; a SUM {of_sum}"
        );
    }
    Ok(())
}
