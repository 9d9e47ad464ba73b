//! Disks: one owner for each directory, and a clear word when one is full.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{World, client, request, skipped, wat};

#[tokio::test(flavor = "multi_thread")]
async fn two_managers_on_one_directory_are_one_too_many() {
    let world = World::new().await;
    let _first = world.manager().await;
    let error = world.manager_part().manager().await.unwrap_err();
    let text = propeller::stack::chain(&error);
    assert!(text.contains("is in use by another manager"), "{text}");
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
}

/// A small file system, gone when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(path)
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .output()
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_clear_refusal_and_nothing_is_lost() {
    let world = World::new().await;
    let Some(_disk) = SmallDisk::mount(&world.scratch.path("manager")) else {
        return skipped("cannot mount a small file system: needs root");
    };
    let manager = world.manager().await;
    let client = client(manager.url());
    let mut accepted = Vec::new();
    let refused = loop {
        // Each module is another one, or it would be stored once.
        let wasm = wat(&format!(
            r#"(module (memory 1) (data (i32.const 0) "{}{}"))"#,
            accepted.len(),
            "x".repeat(40_000)
        ));
        match client.task_create(&request("fill", &wasm), false).await {
            Ok(task) => accepted.push(task.id.clone()),
            Err(error) => break error,
        }
        assert!(accepted.len() < 100, "the disk never filled");
    };
    let propeller_sdk::ClientError::Refused { problem, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(problem.status, 507, "{}", problem.detail);
    assert!(
        problem.detail.contains("disk is full"),
        "{}",
        problem.detail
    );
    for id in &accepted {
        assert!(
            client.task_view(id).await.is_ok(),
            "{id} was accepted and is lost"
        );
    }
    manager.stop().await;
}
