//! A real registry (`docker-registry`, that is distribution) with accounts and an image.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::files::Directory;
use super::peers::peer;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A registry on the loopback interface; it ends when this is dropped.
pub struct Registry {
    child: Child,
    /// `127.0.0.1:port`.
    pub address: String,
    directory: Directory,
}

/// What the image `team/app:1` holds, as one layer: an empty tar archive.
const LAYER: &[u8] = &[0; 1024];

impl Registry {
    /// Starts one that knows this account, and pushes `team/app:1` as it. None where the programs are
    /// not installed.
    pub fn start(username: &str, password: &str) -> Option<Self> {
        let (registry, skopeo, htpasswd) =
            (peer("docker-registry")?, peer("skopeo")?, peer("htpasswd")?);
        let directory = Directory::new();
        let users = Command::new(htpasswd)
            .args(["-Bbn", username, password])
            .output()
            .expect("htpasswd runs");
        std::fs::write(directory.path().join("users"), users.stdout).expect("writable");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound").to_string();
        drop(free);
        let config = directory.path().join("config.yml");
        std::fs::write(&config, configuration(&directory, &address)).expect("writable");
        let child = Command::new(registry)
            .args(["serve".as_ref(), config.as_os_str()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry starts");
        let registry = Self {
            child,
            address,
            directory,
        };
        registry.wait();
        registry.push(&skopeo, username, password);
        Some(registry)
    }

    fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(&self.address).is_err() {
            assert!(Instant::now() < until, "the registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn push(&self, skopeo: &PathBuf, username: &str, password: &str) {
        let image = self.directory.path().join("image");
        write_image(&image);
        let output = Command::new(skopeo)
            .args([
                "copy",
                "--insecure-policy",
                "--dest-tls-verify=false",
                "--dest-creds",
            ])
            .arg(format!("{username}:{password}"))
            .arg(format!("dir:{}", image.display()))
            .arg(format!("docker://{}/team/app:1", self.address))
            .output()
            .expect("skopeo runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(directory: &Directory, address: &str) -> String {
    json!({
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": directory.path().join("data")}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "test", "path": directory.path().join("users")}},
    })
    .to_string()
}

/// An image in skopeo's `dir:` form.
fn write_image(directory: &std::path::Path) {
    std::fs::create_dir(directory).expect("writable");
    let blob = |bytes: &[u8]| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let hex: String = digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        std::fs::write(directory.join(&hex), bytes).expect("writable");
        (format!("sha256:{hex}"), bytes.len())
    };
    let (layer, layer_size) = blob(LAYER);
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer]}});
    let (config, config_size) = blob(config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size}],
    });
    std::fs::write(directory.join("manifest.json"), manifest.to_string()).expect("writable");
    std::fs::write(
        directory.join("version"),
        "Directory Transport Version: 1.1\n",
    )
    .expect("writable");
}
