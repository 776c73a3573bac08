//! TLS with certificates that openssl makes here, as `docs/mqtt.md` says it.

use crate::broker::{Broker, free_port, run, until};
use crate::made::{Home, Unit, about, collecting, sending};
use anchorwatch_mqtt::{BrokerOptions, MqttError, SendOptions, Stop, send_all};
use std::path::{Path, PathBuf};

/// An authority, and what it signs.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let subject = format!("/CN={name}");
        let arguments = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            &subject,
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        ];
        run("openssl", &arguments, folder.path());
        Self { folder }
    }

    fn sign(&self, name: &str, extension: &str) {
        let folder = self.folder.path();
        let (key, request, signed) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        let subject = format!("/CN={name}");
        let arguments = [
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &request,
        ];
        run("openssl", &arguments, folder);
        std::fs::write(folder.join("extension"), extension).unwrap();
        let arguments = [
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "365",
            "-extfile",
            "extension",
            "-out",
            &signed,
        ];
        run("openssl", &arguments, folder);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// One broker with a listener for passwords, one for client certificates, and one without TLS.
struct Site {
    broker: Broker,
    home: Authority,
    stranger: Authority,
    tls: u16,
    certified: u16,
    _users: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let (home, stranger) = (Authority::new("home"), Authority::new("stranger"));
        home.sign("server", "subjectAltName=DNS:localhost,IP:127.0.0.1");
        for authority in [&home, &stranger] {
            authority.sign("unit", "extendedKeyUsage=clientAuth");
        }
        let users = tempfile::tempdir().unwrap();
        run("mosquitto_passwd", &["-b", "-c", "users", "u", "secret"], users.path());
        let [plain, tls, certified] = [free_port(), free_port(), free_port()];
        let file = |name: &str| home.file(name).display().to_string();
        let server = format!(
            "cafile {}\ncertfile {}\nkeyfile {}\n",
            file("ca.crt"),
            file("server.crt"),
            file("server.key")
        );
        let users_file = users.path().join("users");
        let settings = format!(
            "per_listener_settings true\n\
             listener {plain} 127.0.0.1\nallow_anonymous true\n\
             listener {tls} 127.0.0.1\n{server}allow_anonymous false\npassword_file {}\n\
             listener {certified} 127.0.0.1\n{server}require_certificate true\nuse_identity_as_username true\n",
            users_file.display()
        );
        let mut broker = Broker::with(plain, &settings);
        broker.start();
        Self { broker, home, stranger, tls, certified, _users: users }
    }

    fn options(&self, port: u16, ca: &Path) -> SendOptions {
        let mut options = sending(&format!("mqtts://localhost:{port}"));
        options.broker.ca = Some(ca.to_path_buf());
        options.without_subscriber = true;
        options
    }

    fn with_certificate(&self, of: &Authority) -> SendOptions {
        let mut options = self.options(self.certified, &self.home.file("ca.crt"));
        options.broker.certificate = Some(of.file("unit.crt"));
        options.broker.key = Some(of.file("unit.key"));
        options
    }
}

#[test]
fn certificates_and_passwords_are_checked_on_both_sides() {
    let site = Site::new();
    let ca = site.home.file("ca.crt");
    let mut unit = Unit::new("u");
    unit.record(9, 3, 32);
    let send = |options: SendOptions| {
        send_all(unit.folder.path(), "u", options, about(), &Stop::default()).map(|sent| sent.events)
    };
    let with_password = |mut options: SendOptions, password: &str| {
        options.broker.user = Some("u".into());
        options.broker.password = Some(password.into());
        options
    };
    let tls = site.options(site.tls, &ca);

    let error = send(with_password(tls.clone(), "wrong")).unwrap_err();
    assert!(matches!(error, MqttError::Credentials { .. }), "{error}");
    let untrusted = site.options(site.tls, &site.stranger.file("ca.crt"));
    let error = send(with_password(untrusted, "secret")).unwrap_err();
    assert!(matches!(error, MqttError::Untrusted { .. }) && error.needs_a_change(), "{error}");
    let mut by_system = with_password(tls.clone(), "secret");
    by_system.broker.ca = None;
    let error = send(by_system).unwrap_err();
    assert!(matches!(error, MqttError::Untrusted { .. } | MqttError::Setting(_)), "{error}");
    let mut other_name = with_password(tls.clone(), "secret");
    other_name.broker.url = format!("mqtts://127.0.0.2:{}", site.tls);
    let error = send(other_name).unwrap_err();
    assert!(matches!(error, MqttError::Untrusted { .. } | MqttError::Unreachable { .. }), "{error}");
    let error = send(site.options(site.certified, &ca)).unwrap_err();
    assert!(matches!(error, MqttError::ClientCertificate { .. }), "no certificate: {error}");
    let error = send(site.with_certificate(&site.stranger)).unwrap_err();
    assert!(matches!(error, MqttError::ClientCertificate { .. }), "a stranger's: {error}");
    let mut mixed = site.with_certificate(&site.home);
    mixed.broker.key = Some(site.stranger.file("unit.key"));
    let error = send(mixed).unwrap_err();
    assert!(matches!(error, MqttError::Pem { .. }), "another's key: {error}");
    let mut no_tls = sending(&format!("mqtt://127.0.0.1:{}", site.tls));
    no_tls.without_subscriber = true;
    let error = send(no_tls).unwrap_err();
    assert!(error.to_string().contains("TLS port"), "{error}");
    let error = send(site.options(site.broker.port, &ca)).unwrap_err();
    assert!(matches!(error, MqttError::Tls { .. } | MqttError::Unreachable { .. }), "no TLS there: {error}");
    assert_eq!(unit.unsent(), 9, "nothing was marked");

    assert_eq!(send(with_password(tls, "secret")).unwrap(), 9);
    unit.record(4, 0, 0);
    let sent =
        send_all(unit.folder.path(), "u", site.with_certificate(&site.home), about(), &Stop::default());
    assert_eq!(sent.unwrap().events, 4);
}

#[test]
fn a_unit_and_its_home_meet_over_tls() {
    let site = Site::new();
    let mut unit = Unit::new("u");
    let ids = unit.record(40, 4, 64);
    let mut options = collecting("", "home");
    options.broker =
        BrokerOptions { client_id: Some("home".into()), ..site.with_certificate(&site.home).broker };
    let home = Home::new();
    let collector = home.collect(options, |_| false);
    let sender = unit.send(SendOptions { without_subscriber: false, ..site.with_certificate(&site.home) });
    until("all is home", || home.different() == 40 && unit.unsent() == 0);
    assert_eq!(home.first_came()["u"], ids);
    drop((sender, collector));
}
