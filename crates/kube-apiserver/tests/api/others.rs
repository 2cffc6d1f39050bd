//! Other servers that are asked who somebody is and what he may do: real ones over TLS, that answer, lie, are slow or away.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use daemon::tls::{ClientAuth, HTTP, KeyPair, ServerTls, Source};
use futures::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::Algorithm;
use kube_apiserver::attributes::Attributes;
use kube_apiserver::attributes::User;
use kube_apiserver::authentication::{Authentication, OidcConfig, OidcTokens, SigningKey, WebhookTokens};
use kube_apiserver::authorization::{Authorizer, Decision, WebhookAuthorizer};
use kube_apiserver::expiring::Expiring;
use kube_apiserver::https::Webhook;
use kube_apiserver::request::Query;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

type Answer = Arc<dyn Fn(&str, Value) -> (u16, Value) + Send + Sync>;

/// An HTTPS server whose certificate signs itself.
struct Other {
    url: String,
    certificate: String,
    asked: Arc<AtomicUsize>,
    folder: tempfile::TempDir,
    token: CancellationToken,
}

impl Drop for Other {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl Other {
    async fn start(answer: impl FnOnce(String) -> Answer) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = made.cert.pem();
        let pair = KeyPair::new(
            Source::inline("test", certificate.clone()),
            Source::inline("test", made.signing_key.serialize_pem()),
        );
        let tls = ServerTls::new(pair, ClientAuth::None, HTTP).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (asked, token) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let mut connections = daemon::tls::incoming(listener, tls, token.clone());
        let (count, answer) = (asked.clone(), answer(url.clone()));
        tokio::spawn(async move {
            while let Some(Ok(stream)) = connections.next().await {
                let (count, answer) = (count.clone(), answer.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request: http::Request<Incoming>| {
                        let (count, answer) = (count.clone(), answer.clone());
                        async move {
                            count.fetch_add(1, Ordering::SeqCst);
                            let path = request.uri().path().to_owned();
                            let body = request.into_body().collect().await.unwrap().to_bytes();
                            let (code, told) = answer(&path, serde_json::from_slice(&body).unwrap_or_default());
                            let response = http::Response::builder().status(code);
                            Ok::<_, Infallible>(response.body(Full::new(Bytes::from(told.to_string()))).unwrap())
                        }
                    });
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, certificate, asked, folder: tempfile::tempdir().unwrap(), token }
    }

    fn kubeconfig(&self, path: &str) -> PathBuf {
        let file = self.folder.path().join("kubeconfig");
        let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "o", "user": "us"}}],
            "users": [{"name": "us", "user": {}}],
            "clusters": [{"name": "o", "cluster": {"server": format!("{}{path}", self.url),
                "certificate-authority-data": STANDARD.encode(&self.certificate)}}]});
        std::fs::write(&file, text.to_string()).unwrap();
        file
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn webhook_tokens(other: &Other) -> Authentication {
    let webhook = Webhook::new(&other.kubeconfig("/who")).unwrap();
    let counts = Duration::from_secs(60);
    let tokens = WebhookTokens { webhook, version: "v1".into(), counts, answers: Expiring::default() };
    Authentication::new(vec![Arc::new(tokens)], vec!["us".into()], false)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_says_whose_a_token_is_and_is_asked_once() {
    let other = Other::start(|_| {
        Arc::new(|path: &str, review: Value| {
            assert_eq!(
                (path, &review["kind"], &review["apiVersion"]),
                ("/who", &json!("TokenReview"), &json!("authentication.k8s.io/v1"))
            );
            match review["spec"]["token"].as_str().unwrap() {
                "good" => {
                    (200, json!({"status": {"authenticated": true, "user": {"username": "ann", "groups": ["devs"]}}}))
                }
                "huge" => (200, json!({"status": {"authenticated": false, "error": "x".repeat(1 << 20)}})),
                "broken" => (200, json!("what?")),
                "refused" => (403, json!({"kind": "Status", "code": 403, "message": "no"})),
                _ => (200, json!({"status": {"authenticated": false}})),
            }
        })
    })
    .await;
    let authentication = webhook_tokens(&other);
    for _ in 0..3 {
        let (user, audiences) = authentication.of_token("good", &[]).await.unwrap();
        assert_eq!((user.name.as_str(), audiences), ("ann", vec!["us".to_owned()]));
        assert_eq!(user.groups, ["devs", "system:authenticated"]);
    }
    assert_eq!(other.asked(), 1);
    for (token, told) in [("bad", false), ("broken", false), ("refused", true), ("huge", true)] {
        let refused = authentication.of_token(token, &[]).await.unwrap_err();
        assert_eq!(!refused.is_empty(), told, "{token}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_away_lets_nobody_in() {
    let other = Other::start(|_| Arc::new(|_: &str, _| (500, json!({})))).await;
    let refused = webhook_tokens(&other).of_token("good", &[]).await.unwrap_err();
    assert_eq!((refused.len(), other.asked()), (1, 3));
    // Another server at that place, with a certificate of its own.
    let real = Other::start(|_| {
        Arc::new(|_: &str, _| (200, json!({"status": {"authenticated": true, "user": {"username": "x"}}})))
    })
    .await;
    let file = real.kubeconfig("/who");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace(&STANDARD.encode(&real.certificate), &STANDARD.encode(&other.certificate));
    std::fs::write(&file, text).unwrap();
    let tokens = WebhookTokens {
        webhook: Webhook::new(&file).unwrap(),
        version: "v1".into(),
        counts: Duration::ZERO,
        answers: Expiring::default(),
    };
    let authentication = Authentication::new(vec![Arc::new(tokens)], Vec::new(), false);
    assert!(authentication.of_token("good", &[]).await.is_err());
    assert_eq!(real.asked(), 0);
    assert!(Webhook::new(&real.folder.path().join("none")).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_says_what_users_may_do() {
    let other = Other::start(|_| {
        Arc::new(|_: &str, review: Value| {
            assert_eq!(review["apiVersion"], "authorization.k8s.io/v1beta1");
            assert_eq!(review["spec"]["group"], json!(["devs"]));
            let asked = &review["spec"]["resourceAttributes"];
            match (asked["verb"].as_str(), asked["resource"].as_str()) {
                (Some("get"), Some("pods")) => (200, json!({"status": {"allowed": true}})),
                (Some("delete"), _) => (200, json!({"status": {"allowed": false, "denied": true, "reason": "never"}})),
                (Some("list"), _) => (503, json!({})),
                _ => (200, json!({"status": {"allowed": false, "reason": "unknown"}})),
            }
        })
    })
    .await;
    let webhook = Webhook::new(&other.kubeconfig("/may")).unwrap();
    let minute = Duration::from_secs(60);
    let authorizer = WebhookAuthorizer::new(webhook, "v1beta1".into(), minute, minute);
    let user = Arc::new(User { name: "ann".into(), groups: vec!["devs".into()], ..User::default() });
    let ask = async |method: &str, path: &str| {
        let attributes = Attributes::of_request(user.clone(), &method.parse().unwrap(), path, &Query::parse(None));
        authorizer.authorize(&attributes).await
    };
    let pod = "/api/v1/namespaces/x/pods/p";
    for _ in 0..2 {
        assert_eq!(ask("GET", pod).await, Decision::Allow);
        assert_eq!(ask("DELETE", pod).await, Decision::Deny("never".into()));
        assert_eq!(ask("GET", "/healthz/x").await, Decision::NoOpinion("unknown".into()));
    }
    assert_eq!(other.asked(), 3);
    assert!(matches!(ask("GET", "/api/v1/pods").await, Decision::NoOpinion(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_tokens_of_an_issuer_are_users() {
    let key = SigningKey::read(include_bytes!("service-account.key")).unwrap();
    let keys = json!({"keys": [key.public.jwk]});
    let other = Other::start(|url| {
        Arc::new(move |path: &str, _| match path {
            "/.well-known/openid-configuration" => (200, json!({"issuer": url, "jwks_uri": format!("{url}/keys")})),
            "/keys" => (200, keys.clone()),
            _ => (404, json!({})),
        })
    })
    .await;
    let config = OidcConfig {
        issuer: other.url.clone(),
        client: "us".into(),
        username_claim: "sub".into(),
        username_prefix: "oidc:".into(),
        groups_claim: "groups".into(),
        algorithms: vec![Algorithm::ES256],
        ..OidcConfig::default()
    };
    let pem = other.certificate.as_bytes();
    let authority: Vec<u8> = rustls_pemfile::certs(&mut &pem[..]).next().unwrap().unwrap().to_vec();
    let tokens = OidcTokens::new(config.clone(), Some(vec![authority.clone()])).unwrap();
    let authentication = Authentication::new(vec![Arc::new(tokens)], Vec::new(), false);
    let claims = |audience: &str| json!({"iss": other.url, "aud": audience, "sub": "ann", "groups": ["devs"], "exp": 4_000_000_000_i64});
    let good = key.sign(&claims("us")).unwrap();
    let (user, _) = authentication.of_token(&good, &[]).await.unwrap();
    assert_eq!(
        (user.name.as_str(), &user.groups),
        ("oidc:ann", &vec!["devs".to_owned(), "system:authenticated".to_owned()])
    );
    let asked = other.asked();
    assert!(authentication.of_token(&key.sign(&claims("them")).unwrap(), &[]).await.is_err());
    let mut forged = good.clone();
    forged.truncate(good.len() - 4);
    assert!(authentication.of_token(&forged, &[]).await.is_err());
    assert_eq!(other.asked(), asked, "known keys are not asked for again");
    // Signed in a way that is not wanted.
    let strict = OidcConfig { algorithms: vec![Algorithm::RS256], ..config };
    let strict = OidcTokens::new(strict, Some(vec![authority])).unwrap();
    let strict = Authentication::new(vec![Arc::new(strict)], Vec::new(), false);
    assert!(strict.of_token(&good, &[]).await.unwrap_err()[0].contains("--oidc-signing-algs"));
}
