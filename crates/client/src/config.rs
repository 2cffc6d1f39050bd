//! Where kube-apiserver is and who we are to it: a kubeconfig file, or flags.
use std::path::{Path, PathBuf};

use base64::Engine;
use clap::Args;
use daemon::tls::{ClientTls, HTTP2, KeyPair, Source, TlsError};
use serde::Deserialize;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("--{flag}={value}: {reason}")]
    Flag { flag: &'static str, value: String, reason: String },
    #[error("--kubeconfig={}: {reason}", path.display())]
    Kubeconfig { path: PathBuf, reason: String },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The flags by which a daemon finds kube-apiserver.
#[derive(Args, Clone, Debug, Default)]
pub struct ClientFlags {
    /// Kubeconfig file that names kube-apiserver and holds our credentials
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Address of kube-apiserver, as https://host:port; several by commas; overrides the kubeconfig's
    #[arg(long, visible_alias = "apiserver", value_name = "URL", value_delimiter = ',')]
    pub master: Vec<String>,
    /// Certificate authority of kube-apiserver
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Our certificate to kube-apiserver
    #[arg(long, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,
    /// The private key of our certificate
    #[arg(long, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
}

/// Checked, and loaded as far as that is possible without a connection.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Host and port of each kube-apiserver.
    pub servers: Vec<(String, u16)>,
    pub tls: ClientTls,
}

impl ClientFlags {
    pub fn load(&self) -> Result<ClientConfig, ConfigError> {
        let file = self.kubeconfig.as_deref().map(Kubeconfig::read).transpose()?.unwrap_or_default();
        let servers: Vec<_> = if self.master.is_empty() {
            let wrong = |reason| match &self.kubeconfig {
                Some(path) => ConfigError::Kubeconfig { path: path.clone(), reason },
                None => {
                    let reason = "where kube-apiserver is must be said, or in a file by --kubeconfig".to_owned();
                    ConfigError::Flag { flag: "master", value: String::new(), reason }
                }
            };
            let server = file.server.as_deref().ok_or_else(|| wrong("the cluster has no server".to_owned()))?;
            vec![host_and_port(server).map_err(|reason| wrong(format!("server {server:?}: {reason}")))?]
        } else {
            let parse = |url: &String| {
                host_and_port(url).map_err(|reason| ConfigError::Flag { flag: "master", value: url.clone(), reason })
            };
            self.master.iter().map(parse).collect::<Result<_, _>>()?
        };
        let source = |flag, path: &Option<PathBuf>| path.as_ref().map(|path| Source::file(flag, path));
        let missing = |flag: &'static str, reason: &str| match &self.kubeconfig {
            Some(path) => ConfigError::Kubeconfig { path: path.clone(), reason: format!("it has no {reason}") },
            None => {
                ConfigError::Flag { flag, value: String::new(), reason: "must be given without --kubeconfig".into() }
            }
        };
        let ca = source("ca-file", &self.ca_file).or(file.ca);
        let ca = ca.ok_or_else(|| missing("ca-file", "certificate-authority"))?;
        let cert = source("client-certificate", &self.client_certificate).or(file.cert);
        let key = source("client-key", &self.client_key).or(file.key);
        let pair = match (cert, key) {
            (Some(cert), Some(key)) => KeyPair::new(cert, key),
            (None, _) => return Err(missing("client-certificate", "client-certificate")),
            (_, None) => return Err(missing("client-key", "client-key")),
        };
        Ok(ClientConfig { servers, tls: ClientTls::new(ca, Some(pair), HTTP2)? })
    }
}

fn host_and_port(url: &str) -> Result<(String, u16), String> {
    let uri: http::Uri = url.parse().map_err(|error| format!("is no URL: {error}"))?;
    if uri.scheme_str() != Some("https") {
        return Err("must begin with https://".to_owned());
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("has no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), uri.port_u16().unwrap_or(443)))
}

/// What the current context of a kubeconfig says.
#[derive(Debug, Default)]
struct Kubeconfig {
    server: Option<String>,
    ca: Option<Source>,
    cert: Option<Source>,
    key: Option<Source>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<Named>,
    #[serde(default)]
    clusters: Vec<Named>,
    #[serde(default)]
    users: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default, alias = "cluster", alias = "user", alias = "context")]
    body: serde_yaml::Mapping,
}

impl Kubeconfig {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError::Kubeconfig { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("can't be read: {error}")))?;
        let file: File = serde_yaml::from_str(&text).map_err(|error| wrong(format!("is no kubeconfig: {error}")))?;
        Self::resolve(&file, path).map_err(wrong)
    }

    fn resolve(file: &File, path: &Path) -> Result<Self, String> {
        let context = find(&file.contexts, &file.current_context)
            .ok_or_else(|| format!("it has no context {:?}, which is the current one", file.current_context))?;
        let name = |of: &str| text(context, of).ok_or_else(|| format!("the current context has no {of}"));
        let cluster_name = name("cluster")?;
        let cluster =
            find(&file.clusters, cluster_name).ok_or_else(|| format!("it has no cluster {cluster_name:?}"))?;
        let user_name = name("user")?;
        let user = find(&file.users, user_name).ok_or_else(|| format!("it has no user {user_name:?}"))?;
        Ok(Self {
            server: text(cluster, "server").map(str::to_owned),
            ca: source(cluster, "certificate-authority", path)?,
            cert: source(user, "client-certificate", path)?,
            key: source(user, "client-key", path)?,
        })
    }
}

fn find<'a>(list: &'a [Named], name: &str) -> Option<&'a serde_yaml::Mapping> {
    list.iter().find(|named| named.name == name).map(|named| &named.body)
}

fn text<'a>(map: &'a serde_yaml::Mapping, field: &str) -> Option<&'a str> {
    map.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// `<field>-data` in base64, or the path in `<field>`, relative to the kubeconfig.
fn source(map: &serde_yaml::Mapping, field: &str, path: &Path) -> Result<Option<Source>, String> {
    let data_field = format!("{field}-data");
    if let Some(data) = text(map, &data_field) {
        let compact: String = data.split_whitespace().collect();
        let pem = base64::engine::general_purpose::STANDARD.decode(compact);
        let pem = pem.map_err(|error| format!("{data_field} is no base64: {error}"))?;
        return Ok(Some(Source::inline(format!("--kubeconfig={}: {data_field}", path.display()), pem)));
    }
    let beside = path.parent().unwrap_or(Path::new(""));
    Ok(text(map, field).map(|file| Source::file(format!("kubeconfig={}: {field}", path.display()), beside.join(file))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:6443', certificate-authority: ca.crt}}]
users: [{name: u, user: {client-certificate-data: Q0VSVA==, client-key: /k}}]
";

    fn resolve(text: &str) -> Result<Kubeconfig, String> {
        Kubeconfig::resolve(&serde_yaml::from_str(text).unwrap(), Path::new("/etc/kubernetes/x.conf"))
    }

    #[test]
    fn the_current_context_is_followed() {
        let config = resolve(FILE).unwrap();
        assert_eq!(config.server.as_deref(), Some("https://127.0.0.1:6443"));
        let path = "kubeconfig=/etc/kubernetes/x.conf: certificate-authority";
        assert_eq!(config.ca, Some(Source::file(path, "/etc/kubernetes/ca.crt")));
        let origin = "--kubeconfig=/etc/kubernetes/x.conf: client-certificate-data";
        assert_eq!(config.cert, Some(Source::inline(origin, "CERT")));
        assert_eq!(resolve(&FILE.replace("user: u", "user: v")).unwrap_err(), "it has no user \"v\"");
    }

    #[test]
    fn addresses() {
        assert_eq!(host_and_port("https://[::1]:6443"), Ok(("::1".to_owned(), 6443)));
        assert_eq!(host_and_port("https://master"), Ok(("master".to_owned(), 443)));
        assert_eq!(host_and_port("http://master:8080"), Err("must begin with https://".to_owned()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = ClientFlags::default().load().unwrap_err().to_string();
        assert_eq!(error, "--master=: where kube-apiserver is must be said, or in a file by --kubeconfig");
    }
}
