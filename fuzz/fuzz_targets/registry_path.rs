//! Any text as a registry path: what is normal stays as it is, and clients find it under the key that is rendered.

#![no_main]

use libfuzzer_sys::fuzz_target;
use regcred::auth_file::explain::reach::Probe;
use regcred::auth_file::parse::FileFormat;
use regcred::model::registry_path::RegistryPath;

fuzz_target!(|text: &str| {
    let Ok(path) = RegistryPath::parse(text) else {
        return;
    };
    let again = RegistryPath::parse(path.as_str());
    assert_eq!(again.map(|again| again.to_string()), Ok(path.to_string()));
    assert!(path.as_str().starts_with(path.host()));
    for format in [FileFormat::Config, FileFormat::Dockercfg] {
        let probe = Probe::new(text, &path, format);
        for client in probe.readers() {
            let _ = (probe.is_used(client), probe.is_used_beyond(client));
        }
    }
});
