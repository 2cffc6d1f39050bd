//! Which server to ask, as whom, and in which namespace: kubeconfig files and the flags that override them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};

use crate::error::{Error, Result, fail};
use crate::rest::Client;

/// Where upstream's kubectl asks when no kubeconfig says otherwise.
const DEFAULT_SERVER: &str = "http://localhost:8080";

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every command")]
pub struct Connection {
    /// The kubeconfig file to use, instead of $KUBECONFIG and ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context to use
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// The kubeconfig's cluster to use
    #[arg(long, global = true)]
    pub cluster: Option<String>,
    /// The kubeconfig's user to use
    #[arg(long, global = true)]
    pub user: Option<String>,
    /// The namespace to work in
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Address and port of the API server
    #[arg(short, long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// A bearer token for the API server
    #[arg(long, global = true)]
    pub token: Option<String>,
    /// File of the certificate authority that the server's certificate must come from
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate_authority: Option<String>,
    /// File of the client certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub client_certificate: Option<String>,
    /// File of the client certificate's key
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<String>,
    /// Do not check the server's certificate
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,
    /// The name to expect in the server's certificate
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// The user to act as
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,
    /// A group to act as a member of; may be repeated
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub impersonate_group: Vec<String>,
    /// How long one request may take (such as 5s, 2m); 0 means no limit
    #[arg(long, global = true, default_value = "0", value_name = "DURATION")]
    pub request_timeout: String,
}

impl Connection {
    /// The files that are read, first wins.
    pub fn files(&self) -> Vec<PathBuf> {
        if let Some(file) = &self.kubeconfig {
            return vec![file.clone()];
        }
        let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
        let listed: Vec<PathBuf> = std::env::split_paths(&listed).filter(|p| !p.as_os_str().is_empty()).collect();
        match (listed.is_empty(), std::env::home_dir()) {
            (true, Some(home)) => vec![home.join(".kube/config")],
            _ => listed,
        }
    }

    /// The merged kubeconfig. Files that do not exist count as empty, unless the flag names one.
    pub fn load(&self) -> Result<Kubeconfig> {
        if let Some(file) = &self.kubeconfig
            && !file.exists()
        {
            return fail(format!("stat {}: no such file or directory", file.display()));
        }
        merge(&self.files())
    }

    /// The kubeconfig with the flags' overrides in it.
    pub fn resolve(&self) -> Result<(Kubeconfig, KubeConfigOptions)> {
        overridden(self.load()?, self)
    }

    pub async fn connect(&self) -> Result<(Client, String)> {
        let (kubeconfig, options) = self.resolve()?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|e| Error::Message(format!("invalid configuration: {e}")))?;
        // A command says what happened at once; trying again is for daemons.
        config.default_retry = false;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let timeout = match crate::duration::parse(&self.request_timeout) {
            Some(limit) => (limit > Duration::ZERO).then_some(limit),
            None => {
                return fail(format!(
                    "Invalid timeout value {:?}. Timeout must be a single integer in seconds, or an integer followed by a \
                     corresponding time unit (e.g. 1s | 2m | 3h)",
                    self.request_timeout
                ));
            }
        };
        Ok((Client::new(config, timeout)?, namespace))
    }
}

fn merge(files: &[PathBuf]) -> Result<Kubeconfig> {
    let mut merged = Kubeconfig::default();
    for file in files.iter().filter(|file| file.exists()) {
        let broken = |e: &dyn std::fmt::Display| Error::Message(format!("error loading config file {:?}: {e}", file));
        let next = read(file).map_err(|e| broken(&e))?;
        merged = merged.merge(next).map_err(|e| broken(&e))?;
    }
    Ok(merged)
}

fn read(file: &Path) -> Result<Kubeconfig, kube::config::KubeconfigError> {
    Kubeconfig::read_from(file)
}

/// A context, cluster or user that a flag or the kubeconfig names must exist; what flags say wins over files.
fn overridden(mut kubeconfig: Kubeconfig, flags: &Connection) -> Result<(Kubeconfig, KubeConfigOptions)> {
    let name = flags.context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
    let found = kubeconfig.contexts.iter().find(|c| c.name == name).and_then(|c| c.context.clone());
    let mut context = match found {
        Some(context) => context,
        None if flags.context.is_some() => return fail(format!("context {name:?} does not exist")),
        None => Context::default(),
    };
    let mut cluster = match &flags.cluster {
        Some(name) => match kubeconfig.clusters.iter().find(|c| c.name == *name) {
            Some(found) => found.cluster.clone().unwrap_or_default(),
            None => return fail(format!("cluster {name:?} does not exist")),
        },
        None => kubeconfig
            .clusters
            .iter()
            .find(|c| c.name == context.cluster)
            .and_then(|c| c.cluster.clone())
            .unwrap_or_default(),
    };
    let user_name = flags.user.clone().or_else(|| context.user.clone()).unwrap_or_default();
    let mut user = match kubeconfig.auth_infos.iter().find(|u| u.name == user_name) {
        Some(found) => found.auth_info.clone().unwrap_or_default(),
        None if flags.user.is_some() => return fail(format!("auth info {user_name:?} does not exist")),
        None => AuthInfo::default(),
    };
    override_cluster(&mut cluster, flags);
    override_user(&mut user, flags);
    // What is used goes under names of its own, so that the overrides stay away from the file's entries.
    const USED: &str = "\u{0}used";
    context.cluster = USED.into();
    context.user = Some(USED.into());
    kubeconfig.clusters.push(NamedCluster { name: USED.into(), cluster: Some(cluster), ..Default::default() });
    kubeconfig.auth_infos.push(NamedAuthInfo { name: USED.into(), auth_info: Some(user), ..Default::default() });
    kubeconfig.contexts.push(NamedContext { name: USED.into(), context: Some(context), ..Default::default() });
    Ok((kubeconfig, KubeConfigOptions { context: Some(USED.into()), cluster: None, user: None }))
}

fn override_cluster(cluster: &mut Cluster, flags: &Connection) {
    if let Some(server) = &flags.server {
        let scheme = if server.contains("://") { "" } else { "http://" };
        cluster.server = Some(format!("{scheme}{server}"));
    }
    cluster.server.get_or_insert_with(|| DEFAULT_SERVER.to_owned());
    if let Some(file) = &flags.certificate_authority {
        cluster.certificate_authority = Some(file.clone());
        cluster.certificate_authority_data = None;
    }
    if flags.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
    }
    if flags.tls_server_name.is_some() {
        cluster.tls_server_name = flags.tls_server_name.clone();
    }
}

fn override_user(user: &mut AuthInfo, flags: &Connection) {
    if let Some(token) = &flags.token {
        user.token = Some(token.clone().into());
        user.token_file = None;
    }
    if let Some(file) = &flags.client_certificate {
        user.client_certificate = Some(file.clone());
        user.client_certificate_data = None;
    }
    if let Some(file) = &flags.client_key {
        user.client_key = Some(file.clone());
        user.client_key_data = None;
    }
    if flags.impersonate.is_some() {
        user.impersonate = flags.impersonate.clone();
    }
    if !flags.impersonate_group.is_empty() {
        user.impersonate_groups = Some(flags.impersonate_group.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "{apiVersion: v1, kind: Config, current-context: a,
        contexts: [{name: a, context: {cluster: c, user: u, namespace: first}}],
        clusters: [{name: c, cluster: {server: 'https://one:6443'}}], users: [{name: u, user: {token: t}}]}";
    const SECOND: &str = "{apiVersion: v1, kind: Config, current-context: b,
        contexts: [{name: b, context: {cluster: d, user: u}}],
        clusters: [{name: c, cluster: {server: 'https://two'}}, {name: d, cluster: {server: 'https://three'}}]}";

    fn used(flags: &Connection) -> Result<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = [("1", FIRST), ("2", SECOND)]
            .map(|(name, text)| {
                let file = folder.path().join(name);
                std::fs::write(&file, text).unwrap();
                file
            })
            .into();
        let (config, options) = overridden(merge(&files)?, flags)?;
        let name = options.context.unwrap();
        let context = config.contexts.iter().find(|c| c.name == name).unwrap().context.clone().unwrap();
        let cluster = config.clusters.iter().find(|c| c.name == context.cluster).unwrap().cluster.clone().unwrap();
        Ok((cluster.server.unwrap(), context.namespace.unwrap_or_default()))
    }

    #[test]
    fn the_first_file_wins_and_flags_win_over_files() {
        let flag = |f: fn(&mut Connection)| {
            let mut flags = Connection::default();
            f(&mut flags);
            used(&flags).map_err(|e| e.to_string())
        };
        let ok = |server: &str, namespace: &str| Ok((server.to_owned(), namespace.to_owned()));
        assert_eq!(flag(|_| ()), ok("https://one:6443", "first"));
        assert_eq!(flag(|f| f.context = Some("b".into())), ok("https://three", ""));
        assert_eq!(flag(|f| f.cluster = Some("d".into())), ok("https://three", "first"));
        assert_eq!(flag(|f| f.server = Some("four:1".into())), ok("http://four:1", "first"));
        assert_eq!(flag(|f| f.context = Some("x".into())), Err("context \"x\" does not exist".into()));
        assert_eq!(flag(|f| f.cluster = Some("x".into())), Err("cluster \"x\" does not exist".into()));
        assert_eq!(flag(|f| f.user = Some("x".into())), Err("auth info \"x\" does not exist".into()));
    }

    #[test]
    fn without_a_kubeconfig_the_old_default_is_asked() {
        let (config, _) = overridden(Kubeconfig::default(), &Connection::default()).unwrap();
        assert_eq!(config.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some(DEFAULT_SERVER));
    }
}
