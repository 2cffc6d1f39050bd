//! The flags of the audit log.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use daemon::FlagError;

use crate::audit::{Audit, Log, Policy, Rotation};

#[derive(Args, Debug)]
pub struct AuditFlags {
    /// Which requests are written to the audit log, and how much of them: a file with a Policy of audit.k8s.io/v1
    #[arg(long, value_name = "FILE")]
    audit_policy_file: Option<PathBuf>,
    /// File of the audit log; -: standard output
    #[arg(long, value_name = "FILE")]
    audit_log_path: Option<PathBuf>,
    /// Days that old files of the audit log are kept; 0: for ever
    #[arg(long, default_value_t = 0, value_name = "DAYS")]
    audit_log_maxage: u64,
    /// How many old files of the audit log are kept; 0: all
    #[arg(long, default_value_t = 0, value_name = "FILES")]
    audit_log_maxbackup: usize,
    /// Size at which the file of the audit log gives way to a new one; 0: never
    #[arg(long, default_value_t = 0, value_name = "MEGABYTES")]
    audit_log_maxsize: u64,
    /// Form of the events in the audit log
    #[arg(long, default_value = "json", value_parser = ["json"])]
    audit_log_format: String,
    /// Requests never wait for the audit log; what it can't take is counted in apiserver_audit_error_total
    #[arg(long, default_value = "batch", value_parser = ["batch"])]
    audit_log_mode: String,
}

impl AuditFlags {
    /// `None`: nothing is audited. The log is opened here, so that a file that can't be written is told at the start.
    pub fn check(&self) -> Result<Option<Arc<Audit>>, FlagError> {
        let policy = self.audit_policy_file.as_deref().map(Policy::read).transpose()?;
        let Some(path) = &self.audit_log_path else { return Ok(None) };
        let Some(policy) = policy else {
            tracing::warn!("--audit-log-path: nothing is written there without a policy by --audit-policy-file");
            return Ok(None);
        };
        let rotation = Rotation {
            max_megabytes: self.audit_log_maxsize,
            max_days: self.audit_log_maxage,
            max_backups: self.audit_log_maxbackup,
        };
        let log = Log::open(path, rotation).map_err(|why| FlagError::new("audit-log-path", path.display(), why))?;
        Ok(Some(Audit::new(policy, log)))
    }
}
