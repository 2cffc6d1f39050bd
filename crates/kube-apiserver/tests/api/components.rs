//! How the members of the control plane are, asked over REST.

use std::sync::Arc;

use kube_apiserver::exchange::Filters;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::{Api, rest};
use crate::protobuf::read;

/// A daemon that answers whatever it is asked.
async fn daemon(answer: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            let count = stream.read(&mut asked).await.unwrap();
            assert!(asked[..count].starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_asked_and_what_it_says_is_told() {
    let well = daemon("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await;
    let ill = daemon("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\nlost").await;
    let mut api = Api::start().await;
    let library = api.library.clone();
    let components = |list| Arc::new(rest(&library, Filters::default()).with_components(list));
    api.rest = components(vec![("controller-manager", ill), ("scheduler", well)]);
    let all = "/api/v1/componentstatuses";
    let (code, list) = api.json("GET", all, &Value::Null).await;
    assert_eq!((code, &list["kind"]), (200, &json!("ComponentStatusList")));
    let told: Vec<(&str, &str)> = (0..3)
        .map(|at| {
            let condition = &list["items"][at]["conditions"][0];
            assert_eq!(condition["type"], "Healthy");
            (list["items"][at]["metadata"]["name"].as_str().unwrap(), condition["status"].as_str().unwrap())
        })
        .collect();
    assert_eq!(told, [("controller-manager", "False"), ("scheduler", "True"), ("etcd-0", "True")]);
    let why = list["items"][0]["conditions"][0]["message"].as_str().unwrap();
    assert!(why.ends_with("HTTP probe failed with statuscode: 500: lost"), "{why}");
    let (code, one) = api.json("GET", &format!("{all}/scheduler"), &Value::Null).await;
    assert_eq!((code, &one["conditions"][0]["message"]), (200, &json!("ok")));
    assert_eq!(api.json("GET", &format!("{all}/nobody"), &Value::Null).await.0, 404);
    for (method, path) in
        [("DELETE", format!("{all}/scheduler")), ("POST", all.to_owned()), ("GET", format!("{all}?watch=1"))]
    {
        assert_eq!(api.json(method, &path, &json!({})).await.0, 405, "{method} {path}");
    }
    let protobuf = "application/vnd.kubernetes.protobuf";
    let (code, body) = api.call_for("GET", &format!("{all}/scheduler"), (protobuf, protobuf), b"").await;
    assert_eq!((code, read(&body)), (200, one));
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let (_, body) = api.call_for("GET", all, ("", table), b"").await;
    let table: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(table["rows"][1]["cells"], json!(["scheduler", "Healthy", "ok", ""]));
    // Where nobody listens, that is what is told.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    api.rest = components(vec![("scheduler", gone)]);
    let (_, one) = api.json("GET", &format!("{all}/scheduler"), &Value::Null).await;
    assert!(one["conditions"][0]["message"].as_str().unwrap().contains("Connection refused"), "{one}");
}
