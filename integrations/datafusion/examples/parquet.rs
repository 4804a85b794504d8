//! Losses by region from Parquet files, in 1 to 8 partitions: `bce_sum` keeps its bits, `SUM` of the
//! same losses does not.

use datafusion::error::Result;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

const PREDICTIONS: &str = "SELECT value % 3 AS region, (value * 7919 % 1999 - 1000) / 90.0 AS logit, \
    value * 37 % 101 / 100.0 AS target FROM generate_series(1, 200000)";
const QUERY: &str = "SELECT region, bce_sum(logit, target), SUM(bce_loss(logit, target)) \
    FROM predictions GROUP BY region ORDER BY region";

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = format!("{}/", directory.path().display());
    for partitions in [1, 2, 3, 8] {
        let config = SessionConfig::new().with_target_partitions(partitions);
        let mut context = SessionContext::new_with_config(config);
        soft_bce_datafusion::register(&mut context)?;
        if partitions == 1 {
            let write = format!("COPY ({PREDICTIONS}) TO '{files}' STORED AS PARQUET");
            context.sql(&write).await?.collect().await?;
        }
        context
            .register_parquet("predictions", &files, ParquetReadOptions::default())
            .await?;
        println!("{partitions} partitions");
        context.sql(QUERY).await?.show().await?;
    }
    Ok(())
}
