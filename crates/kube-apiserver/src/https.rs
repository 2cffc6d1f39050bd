//! Other servers that this one asks: where they are and who we are to them stands in a kubeconfig, as upstream's webhooks have it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::sync::OnceCell;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a question that could not be asked.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// A server that a kubeconfig names. Connected to when it is first asked.
pub struct Webhook {
    path: PathBuf,
    server: OnceCell<Server>,
}

impl Webhook {
    /// The file is read at once, so that what is wrong with it is known before anything is served.
    pub fn new(path: &Path) -> Result<Self, String> {
        Kubeconfig::read_from(path).map_err(|e| e.to_string())?;
        Ok(Self { path: path.to_owned(), server: OnceCell::new() })
    }

    pub async fn post(&self, body: &Value) -> Result<Value, String> {
        self.server.get_or_try_init(|| Server::of_kubeconfig(&self.path)).await?.post(body).await
    }
}

/// A server that answers at one path.
#[derive(Clone)]
pub struct Server {
    client: Client,
    /// For people.
    url: String,
    path: String,
}

impl Server {
    /// The current context of a kubeconfig.
    async fn of_kubeconfig(path: &Path) -> Result<Self, String> {
        let file = Kubeconfig::read_from(path).map_err(|e| e.to_string())?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        Self::new(config.map_err(|e| e.to_string())?)
    }

    /// A server at a URL, whose certificate one of these authorities has signed (by default: one that the machine trusts).
    pub fn at(url: &str, authorities: Option<Vec<Vec<u8>>>) -> Result<Self, String> {
        let mut config = Config::new(url.parse().map_err(|e| format!("{url:?} is no URL: {e}"))?);
        config.root_cert = authorities;
        Self::new(config)
    }

    fn new(mut config: Config) -> Result<Self, String> {
        let url = config.cluster_url.to_string();
        let path = config.cluster_url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut root = config.cluster_url.clone().into_parts();
        root.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        config.cluster_url = http::Uri::from_parts(root).map_err(|e| format!("{url:?} is no URL: {e}"))?;
        (config.connect_timeout, config.read_timeout) = (Some(TIMEOUT), Some(TIMEOUT));
        let client = Client::try_from(config).map_err(|e| e.to_string())?;
        Ok(Self { client, url, path })
    }

    /// The same server at another path.
    pub fn below(&self, path: &str) -> Self {
        Self { path: format!("{}{path}", self.path.trim_end_matches('/')), ..self.clone() }
    }

    pub async fn get(&self) -> Result<Value, String> {
        self.ask(|| Request::get(&self.path).body(Vec::new())).await
    }

    async fn post(&self, body: &Value) -> Result<Value, String> {
        let json = http::HeaderValue::from_static("application/json");
        self.ask(|| {
            Request::post(&self.path).header(http::header::CONTENT_TYPE, &json).body(body.to_string().into_bytes())
        })
        .await
    }

    /// What a restart of the other side costs is tried again.
    async fn ask(&self, request: impl Fn() -> http::Result<Request<Vec<u8>>>) -> Result<Value, String> {
        let mut why = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * attempt).await;
            }
            let request = request().map_err(|e| format!("{}: {e}", self.url))?;
            match tokio::time::timeout(TIMEOUT, self.client.request_text(request)).await {
                Ok(Ok(text)) => {
                    return serde_json::from_str(&text)
                        .map_err(|e| format!("{}: the answer is not JSON: {e}", self.url));
                }
                Ok(Err(kube::Error::Api(status))) if (1..500).contains(&status.code) => {
                    return Err(format!("{}: {} {}", self.url, status.code, status.message));
                }
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => why = format!("no answer within {} s", TIMEOUT.as_secs()),
            }
        }
        Err(format!("{}: {why}", self.url))
    }
}
