use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair as Key};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::*;

type Authority = CertifiedIssuer<'static, Key>;

fn authority(dir: &Path, name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let ca = CertifiedIssuer::self_signed(params, Key::generate().unwrap()).unwrap();
    std::fs::write(dir.join(format!("{name}.crt")), ca.pem()).unwrap();
    ca
}

fn issue(dir: &Path, ca: &Authority, file: &str, user: &str, group: &str) -> KeyPair {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, user);
    params.distinguished_name.push(DnType::OrganizationName, group);
    let key = Key::generate().unwrap();
    let cert = params.signed_by(&key, ca).unwrap();
    let (cert_path, key_path) = (dir.join(format!("{file}.crt")), dir.join(format!("{file}.key")));
    std::fs::write(&cert_path, cert.pem()).unwrap();
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    KeyPair::new(Source::file("tls-cert-file", cert_path), Source::file("tls-private-key-file", key_path))
}

/// One connection; the user that the server saw, or what the client says.
async fn shake_hands(server: &ServerTls, client: &ClientTls) -> Result<Option<Identity>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let token = CancellationToken::new();
    let mut accepted = incoming(listener, server.clone(), token.clone());
    let connector = Connector::new("test server", vec![("127.0.0.1".to_owned(), port)], client.clone());
    let serve = async {
        let mut stream = accepted.next().await.unwrap().unwrap();
        stream.write_all(b"x").await.unwrap();
        tonic::transport::server::Connected::connect_info(&stream).identity
    };
    let connect = async {
        let mut stream = connector.connect().await.map_err(|error| error.to_string())?;
        // A refused client certificate shows at the first read.
        stream.read_u8().await.map_err(|error| error.to_string())
    };
    tokio::pin!(serve);
    tokio::select! {
        identity = &mut serve => Ok(identity),
        result = connect => match result {
            Ok(_) => Ok(serve.await),
            Err(error) => Err(error),
        },
    }
}

#[tokio::test]
async fn the_peer_is_known_by_its_certificate_and_new_files_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let ca = authority(dir.path(), "ca");
    let roots = || Source::file("client-ca-file", dir.path().join("ca.crt"));
    let server = issue(dir.path(), &ca, "server", "kube-apiserver", "");
    let server = ServerTls::new(server, ClientAuth::Required(roots()), HTTP2).unwrap();
    let alice = issue(dir.path(), &ca, "client", "alice", "ops");
    let client = ClientTls::new(roots(), Some(alice), HTTP2).unwrap();
    let identity = |user: &str| Some(Identity { user: user.to_owned(), groups: vec!["ops".to_owned()] });
    assert_eq!(shake_hands(&server, &client).await, Ok(identity("alice")));

    issue(dir.path(), &ca, "client", "bob", "ops");
    assert_eq!(shake_hands(&server, &client).await, Ok(identity("bob")));

    std::fs::write(dir.path().join("client.crt"), "half written").unwrap();
    assert_eq!(shake_hands(&server, &client).await, Ok(identity("bob")));
}

#[tokio::test]
async fn strangers_are_refused_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) = (authority(dir.path(), "ca"), authority(dir.path(), "other"));
    let source = |name: &str| Source::file("ca", dir.path().join(name));
    let pair = issue(dir.path(), &ca, "server", "server", "");
    let server = ServerTls::new(pair, ClientAuth::Required(source("ca.crt")), HTTP2).unwrap();

    let mistrusting = ClientTls::new(source("other.crt"), None, HTTP2).unwrap();
    let error = shake_hands(&server, &mistrusting).await.unwrap_err();
    assert!(error.contains("TLS: invalid peer certificate"), "{error}");

    let nobody = ClientTls::new(source("ca.crt"), None, HTTP2).unwrap();
    assert!(shake_hands(&server, &nobody).await.is_err());

    let stranger = issue(dir.path(), &other, "stranger", "alice", "");
    let stranger = ClientTls::new(source("ca.crt"), Some(stranger), HTTP2).unwrap();
    assert!(shake_hands(&server, &stranger).await.is_err());
}

#[test]
fn errors_name_flag_and_file() {
    let dir = tempfile::tempdir().unwrap();
    let ca = authority(dir.path(), "ca");
    let pair = issue(dir.path(), &ca, "server", "server", "");
    let other = issue(dir.path(), &ca, "other", "other", "");
    let text = |cert: Source, key: Source| {
        ServerTls::new(KeyPair::new(cert, key), ClientAuth::None, HTTP).unwrap_err().to_string()
    };
    let missing = dir.path().join("missing.crt");
    let error = text(Source::file("tls-cert-file", &missing), pair.key.clone());
    assert!(
        error.starts_with(&format!("--tls-cert-file={}: can't be read: No such file", missing.display())),
        "{error}"
    );
    let error = text(pair.key.clone(), pair.key.clone());
    assert!(error.ends_with("server.key: holds no certificate"), "{error}");
    let error = text(pair.cert.clone(), other.key);
    assert!(error.contains("private key does not fit the certificate of --tls-cert-file="), "{error}");
}
