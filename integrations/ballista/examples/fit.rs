//! Exact sums of the losses of Parquet files, and a fractional logit of their rows with weights and without:
//! by a cluster, or by DataFusion in this process, with the same bits. Numbers are printed so that reading
//! them gives the bits back.

use std::error::Error;
use std::time::Instant;

use clap::Parser;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Float64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionConfig, SessionContext, col};
use fractional_logit::{Covariance, Fit, Model, State, Step};
use soft_bce_datafusion::call_of;

/// Sums of losses and fits of Parquet files.
#[derive(Parser)]
struct Arguments {
    /// A directory of files, which all nodes see.
    files: String,
    /// Columns to fit the target on.
    #[arg(long, value_delimiter = ',', required = true)]
    features: Vec<String>,
    #[arg(long)]
    target: String,
    #[arg(long)]
    weight: String,
    /// The column whose losses are summed.
    #[arg(long)]
    logit: String,
    /// A cluster's, such as df://127.0.0.1:50050; without, DataFusion in this process.
    #[arg(long)]
    scheduler: Option<String>,
    #[arg(long, default_value_t = 1)]
    partitions: usize,
    /// An aggregate, whose million rows a second (the best of four) are printed instead.
    #[arg(long)]
    rate: Vec<String>,
}

impl Arguments {
    async fn context(&self) -> datafusion::error::Result<SessionContext> {
        let context = if let Some(scheduler) = &self.scheduler {
            soft_bce_ballista::connect(scheduler, self.partitions).await?
        } else {
            let config = SessionConfig::new().with_target_partitions(self.partitions);
            let mut context = SessionContext::new_with_config(config);
            soft_bce_datafusion::register(&mut context)?;
            context
        };
        let files = format!("{}/", self.files.trim_end_matches('/'));
        context
            .register_parquet("rows", files, Default::default())
            .await?;
        Ok(context)
    }

    /// In passes that are queries.
    async fn fit(&self, rows: &DataFrame, weight: Option<Expr>) -> Result<Fit, Box<dyn Error>> {
        let features: Vec<Expr> = self.features.iter().map(col).collect();
        let mut solver = Model::new().solver(features.len())?;
        loop {
            let (target, weight) = (col(&self.target), weight.clone());
            let call = call_of(solver.task(), target, weight, features.clone())?;
            let row = only_row(
                rows.clone()
                    .aggregate(vec![], vec![call])?
                    .collect()
                    .await?,
            )?;
            let state = State::from_bytes(row.column(0).as_binary::<i32>().value(0))?;
            if let Step::Done(fit) = solver.step(&state)? {
                return Ok(*fit);
            }
        }
    }
}

/// The only row of a result, whose batches may be empty.
fn only_row(batches: Vec<RecordBatch>) -> Result<RecordBatch, Box<dyn Error>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let row = batches.into_iter().find(|batch| batch.num_rows() == 1);
    row.filter(|_| rows == 1)
        .ok_or_else(|| format!("{rows} rows for one").into())
}

async fn sums(context: &SessionContext, select: &str) -> Result<Vec<f64>, Box<dyn Error>> {
    let rows = context.sql(&format!("SELECT {select} FROM rows")).await?;
    let row = only_row(rows.collect().await?)?;
    let values = row.columns().iter();
    Ok(values
        .map(|column| column.as_primitive::<Float64Type>().value(0))
        .collect())
}

fn print(what: &str, numbers: &[f64]) {
    let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
    println!("{what}: {}", numbers.join(" "));
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let context = arguments.context().await?;
    let Arguments {
        logit,
        target,
        weight,
        ..
    } = &arguments;
    if !arguments.rate.is_empty() {
        let count = context.table("rows").await?.count().await? as f64;
        for select in &arguments.rate {
            let mut best = f64::INFINITY;
            for _ in 0..4 {
                let start = Instant::now();
                sums(&context, select).await?;
                best = best.min(start.elapsed().as_secs_f64());
            }
            print(select, &[count / best / 1e6]);
        }
        return Ok(());
    }
    let select = format!(
        "bce_sum({logit}, {target}, {weight}), exact_sum({weight}), bce_mean({logit}, {target}, {weight})"
    );
    print("sums", &sums(&context, &select).await?);
    let rows = context.table("rows").await?;
    for (what, weight) in [("weighted", Some(col(weight))), ("unweighted", None)] {
        let fit = arguments.fit(&rows, weight).await?;
        print(&format!("{what} coefficients"), fit.coefficients());
        let covariance = fit.covariance(Covariance::Hc0).ok_or("no covariance")?;
        print(&format!("{what} covariance"), &covariance);
    }
    Ok(())
}
