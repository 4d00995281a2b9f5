//! Black-box tests: real HTTP, real PostgreSQL.

#![allow(
    clippy::disallowed_methods,
    reason = "tests look behind the API on direct connections"
)]

mod support;

mod at_rest;
mod audit;
mod audit_chain;
mod audit_ends;
mod audit_following;
mod audit_retention;
mod audit_source;
mod audit_upkeep;
mod auth_file_properties;
mod auth_files;
mod backup;
mod bodies;
mod cli;
mod clients_guide;
mod consumers;
mod conventions;
mod convert;
mod credentials;
mod crowd;
mod dev;
mod docker_helper;
mod docker_session;
mod egress;
mod explain;
mod explain_model;
mod explain_peers;
mod explain_vectors;
mod external_secret;
mod federated;
mod fidelity;
mod fingerprints;
mod forged;
mod guessing;
mod identity_docs;
mod imports;
mod issuer_keys;
mod keys;
mod kubelet;
mod limits;
mod lint;
mod manifests;
mod memory;
mod openapi;
mod overlap;
mod overlap_model;
mod pages;
mod permissions;
mod platform_docs;
mod pooler;
mod previews;
mod pull_secrets;
mod races;
mod queries;
mod real_registries;
mod recipes;
mod renderable;
mod replicas;
mod role_bindings;
mod rotations;
mod scripts;
mod sealed_secret;
mod served_waits;
mod share_links;
mod silent_database;
mod sync;
mod tampering;
mod tenant_first;
mod tenants;
mod token_review;
mod tokens;
mod transit;
mod tries;
mod verification;
mod verification_schedule;
mod verify_command;
mod watching;
