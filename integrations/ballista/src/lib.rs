//! The functions of [`soft_bce_datafusion`] on a [Ballista](ballista) cluster: the same bits with any number
//! of executors and partitions.
//!
//! Functions travel by name, so that each node has to know them: the scheduler by [`session_state`], its
//! `SchedulerConfig`'s session builder; an executor by [`function_registry`], its `ExecutorProcessConfig`'s; a
//! client by [`connect`]. The program of this package is a scheduler or an executor that knows them.
//!
//! ```no_run
//! # async fn query() -> datafusion::error::Result<()> {
//! let context = soft_bce_ballista::connect("df://127.0.0.1:50050", 16).await?;
//! context.register_parquet("predictions", "/shared/predictions/", Default::default()).await?;
//! context.sql("SELECT bce_mean(logit, target) FROM predictions").await?.show().await?;
//! # Ok(())
//! # }
//! ```

#![deny(unsafe_code)]
#![deny(missing_docs)]

use std::sync::Arc;

use ballista::prelude::SessionContextExt;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::utils::{default_config_producer, default_session_builder};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::prelude::{SessionConfig, SessionContext};
pub use soft_bce_datafusion;

/// Ballista's own state of a session, with the functions: for `SchedulerConfig::with_override_session_builder`.
///
/// # Errors
/// Ballista's.
pub fn session_state(config: SessionConfig) -> Result<SessionState> {
    let mut state = default_session_builder(config)?;
    soft_bce_datafusion::register(&mut state)?;
    Ok(state)
}

/// Ballista's own functions and these: for `ExecutorProcessConfig::override_function_registry`.
///
/// # Errors
/// Ballista's.
pub fn function_registry() -> Result<Arc<BallistaFunctionRegistry>> {
    let state = session_state(default_config_producer())?;
    Ok(Arc::new(BallistaFunctionRegistry::from(&state)))
}

/// A context whose queries a scheduler (`df://host:port`) runs, in so many partitions.
///
/// # Errors
/// Where the address is none. Whether somebody listens there shows at the first query.
pub async fn connect(scheduler: &str, partitions: usize) -> Result<SessionContext> {
    let config = SessionConfig::new_with_ballista().with_target_partitions(partitions);
    let mut context = SessionContext::remote_with_state(scheduler, session_state(config)?).await?;
    // Ballista leaves a client Ballista's functions alone.
    soft_bce_datafusion::register(&mut context)?;
    Ok(context)
}
