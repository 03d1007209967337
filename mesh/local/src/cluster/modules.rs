//! What a cluster's programs are built from: Go modules of this checkout, whose dependencies are pinned
//! with their checksums.

use std::path::PathBuf;

use uuid::Uuid;

/// A Go module of this checkout.
pub(super) struct Module {
    pub name: &'static str,
    /// Its files, and their texts.
    files: &'static [(&'static str, &'static str)],
    pub programs: &'static [Program],
    pub copies: &'static [Copy],
}

/// A program of a module.
pub(super) struct Program {
    pub name: &'static str,
    pub package: &'static str,
    /// What the linker is told besides.
    pub stamps: &'static [(&'static str, &'static str)],
    /// How long it takes on two processors if nothing is there: so that nobody loses heart.
    pub minutes: &'static str,
}

/// Files of a dependency that are used as they are.
pub(super) struct Copy {
    pub dependency: &'static str,
    pub files: &'static [&'static str],
    /// The folder that takes them.
    pub to: &'static str,
}

/// The definitions of what Kubernetes does not know by itself.
pub(super) const DEFINITIONS: &str = "definitions";
/// What a sidecar's first configuration is made from.
pub(super) const BOOTSTRAP: &str = "bootstrap";

macro_rules! files {
    ($module:literal: $($file:literal),+) => {
        &[$(($file, include_str!(concat!("../../cluster/", $module, "/", $file)))),+]
    };
}

pub(super) const MODULES: [Module; 5] = [ETCD, KUBERNETES, ISTIO, CRDS, KUBECONFORM];

const ETCD: Module = Module {
    name: "etcd",
    files: files!("etcd": "go.mod", "go.sum", "main.go"),
    programs: &[Program { name: "etcd", package: ".", stamps: &[], minutes: "half a minute" }],
    copies: &[],
};

/// Clients ask the server which version it is; without these it would be none.
const STAMPS: &[(&str, &str)] = &[
    ("k8s.io/component-base/version.gitVersion", "v1.36.1"),
    ("k8s.io/component-base/version.gitMajor", "1"),
    ("k8s.io/component-base/version.gitMinor", "36"),
];

const KUBERNETES: Module = Module {
    name: "kubernetes",
    files: files!("kubernetes": "go.mod", "go.sum", "tools.go"),
    programs: &[
        Program {
            name: "kube-apiserver",
            package: "k8s.io/kubernetes/cmd/kube-apiserver",
            stamps: STAMPS,
            minutes: "4 minutes",
        },
        Program {
            name: "kube-controller-manager",
            package: "k8s.io/kubernetes/cmd/kube-controller-manager",
            stamps: STAMPS,
            minutes: "2 minutes",
        },
        Program {
            name: "kubectl",
            package: "k8s.io/kubernetes/cmd/kubectl",
            stamps: STAMPS,
            minutes: "a minute",
        },
    ],
    copies: &[],
};

const ISTIO: Module = Module {
    name: "istio",
    files: files!("istio": "go.mod", "go.sum", "tools.go"),
    programs: &[
        Program {
            name: "pilot-discovery",
            package: "istio.io/istio/pilot/cmd/pilot-discovery",
            stamps: &[],
            minutes: "4 minutes",
        },
        Program {
            name: "pilot-agent",
            package: "istio.io/istio/pilot/cmd/pilot-agent",
            stamps: &[],
            minutes: "half a minute",
        },
        Program {
            name: "istioctl",
            package: "istio.io/istio/istioctl/cmd/istioctl",
            stamps: &[],
            minutes: "a minute",
        },
    ],
    copies: &[
        Copy {
            dependency: "istio.io/api",
            files: &["kubernetes/customresourcedefinitions.gen.yaml"],
            to: DEFINITIONS,
        },
        Copy {
            dependency: "istio.io/istio",
            files: &["tools/packaging/common/envoy_bootstrap.json"],
            to: BOOTSTRAP,
        },
    ],
};

const CRDS: Module = Module {
    name: "crds",
    files: files!("crds": "go.mod", "go.sum"),
    programs: &[],
    copies: &[
        Copy {
            dependency: "github.com/cert-manager/cert-manager",
            files: &[
                "deploy/crds/cert-manager.io_certificates.yaml",
                "deploy/crds/cert-manager.io_clusterissuers.yaml",
                "deploy/crds/cert-manager.io_issuers.yaml",
            ],
            to: DEFINITIONS,
        },
        Copy {
            dependency: "github.com/cloudnative-pg/cloudnative-pg",
            files: &[
                "config/crd/bases/postgresql.cnpg.io_clusters.yaml",
                "config/crd/bases/postgresql.cnpg.io_scheduledbackups.yaml",
            ],
            to: DEFINITIONS,
        },
        Copy {
            dependency: "github.com/prometheus-operator/prometheus-operator",
            files: &[
                "example/prometheus-operator-crd/monitoring.coreos.com_prometheuses.yaml",
                "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
            ],
            to: DEFINITIONS,
        },
    ],
};

/// Nothing of a cluster needs it: with it, manifests are held against schemas as whoever has no cluster at
/// hand does.
const KUBECONFORM: Module = Module {
    name: "kubeconform",
    files: files!("kubeconform": "go.mod", "go.sum", "tools.go"),
    programs: &[Program {
        name: "kubeconform",
        package: "github.com/yannh/kubeconform/cmd/kubeconform",
        stamps: &[],
        minutes: "half a minute",
    }],
    copies: &[],
};

impl Module {
    /// The folder in a cache that takes what is made of the module: another one as soon as any of its
    /// files, and so any checksum, is another.
    pub fn folder(&self) -> PathBuf {
        let text: Vec<&str> = self.files.iter().flat_map(|(name, text)| [*name, *text]).collect();
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.join("\0").as_bytes()).simple();
        PathBuf::from(format!("{}-{}", self.name, &hash.to_string()[..12]))
    }

    pub fn files(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.files.iter().copied()
    }
}

impl Program {
    /// What the linker is told: no symbols, and which version it is.
    pub fn linked(&self) -> String {
        let stamps = self.stamps.iter().map(|(name, value)| format!(" -X {name}={value}"));
        stamps.fold("-s -w".to_owned(), |flags, stamp| flags + &stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::MODULES;

    #[test]
    fn every_dependency_of_every_module_is_pinned_with_its_checksum() {
        for module in MODULES {
            let file = |name| module.files().find(|(file, _)| *file == name).unwrap().1;
            let sums = file("go.sum");
            let wanted = file("go.mod").lines().filter_map(|line| {
                let mut words = line.split("//").next().unwrap().split_whitespace();
                let words = [words.next()?, words.next()?];
                (words[0].contains('.') && words[1].starts_with('v')).then_some(words)
            });
            let wanted: Vec<_> = wanted.collect();
            assert!(!wanted.is_empty());
            // What is replaced by another version is listed as that.
            let replaced = file("go.mod");
            for [name, version] in wanted {
                if replaced.contains(&format!("{name} => ")) {
                    continue;
                }
                assert!(sums.contains(&format!("{name} {version}/go.mod h1:")), "{name} {version}");
            }
        }
    }

    #[test]
    fn what_is_made_of_other_files_lies_elsewhere() {
        let folders: std::collections::BTreeSet<_> =
            MODULES.iter().map(super::Module::folder).collect();

        assert_eq!(folders.len(), MODULES.len());
        assert_eq!(MODULES[0].folder(), MODULES[0].folder());
    }
}
