//! Server-side apply by a daemon, beside others who write the same object.
use client::{Client, Error};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use testapi::ApiServer;

fn config(data: &[(&str, &str)]) -> ConfigMap {
    let metadata = ObjectMeta { namespace: Some("default".into()), name: Some("m".into()), ..Default::default() };
    let data = data.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ConfigMap { metadata, data: Some(data), ..Default::default() }
}

/// What is there after the apply, as `name=value`.
async fn apply(client: &Client, data: &[(&str, &str)], manager: &str) -> Result<Vec<String>, Error> {
    let applied = client.apply(&config(data), manager).await?;
    Ok(applied.data.into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect())
}

#[tokio::test]
async fn what_a_manager_applies_is_as_he_wants_it_and_nothing_else_changes() {
    let server = ApiServer::start().await;
    let client = server.admins_client();
    assert_eq!(apply(&client, &[("a", "1"), ("b", "1")], "me").await.unwrap(), ["a=1", "b=1"]);
    assert_eq!(apply(&client, &[("c", "1")], "another").await.unwrap(), ["a=1", "b=1", "c=1"]);
    // What the other manages he takes; what he no longer wants goes; what is not his stays.
    assert_eq!(apply(&client, &[("a", "2"), ("c", "2")], "me").await.unwrap(), ["a=2", "c=2"]);
    assert_eq!(apply(&client, &[("d", "1")], "another").await.unwrap(), ["a=2", "c=2", "d=1"]);
    let managers = server.get::<ConfigMap>("default", "m").await.unwrap().metadata.managed_fields.unwrap();
    let managers: Vec<_> =
        managers.into_iter().map(|entry| (entry.manager.unwrap(), entry.operation.unwrap())).collect();
    assert_eq!(managers, [("another".into(), "Apply".into()), ("me".into(), "Apply".into())]);
}

#[tokio::test]
async fn who_applies_says_who_he_is_and_may_mean_one_object() {
    let server = ApiServer::start().await;
    let client = server.admins_client();
    let error = apply(&client, &[], "").await.unwrap_err();
    assert!(error.is_invalid(), "{error}");
    assert!(error.to_string().contains("fieldManager: Required value: is required for apply patch"), "{error}");
    let mut gone = config(&[]);
    gone.metadata.uid = Some("of-one-that-has-gone".into());
    assert!(client.apply(&gone, "me").await.unwrap_err().is_conflict());
    server.put(&config(&[])).await;
    assert!(client.apply(&gone, "me").await.unwrap_err().is_conflict(), "another of the same name");
    gone.metadata.uid = server.get::<ConfigMap>("default", "m").await.unwrap().metadata.uid;
    client.apply(&gone, "me").await.unwrap();
}
