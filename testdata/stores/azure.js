// An emulator of Azure Blob Storage, and what it is told to do: see README.md.
"use strict";
const { createHash } = require("crypto");
const readline = require("readline");
const { BlobServiceClient, StorageSharedKeyCredential } = require("@azure/storage-blob");

const buckets = process.argv.slice(1);
const account = "account";
const key = Buffer.from("of tests").toString("base64");
process.env.AZURITE_ACCOUNTS = `${account}:${key}`;

const answer = (value) => process.stdout.write(JSON.stringify(value) + "\n");

async function names(container, includeUncommitedBlobs) {
  const found = [];
  for await (const blob of container.listBlobsFlat({ includeUncommitedBlobs })) {
    found.push(blob.name);
  }
  return found;
}

async function does(container, what, name, at) {
  const blob = name && container.getBlockBlobClient(name);
  switch (what) {
    case "list":
      return names(container, false);
    case "uploads":
      return (await names(container, true)).length - (await names(container, false)).length;
    case "delete":
      await blob.delete();
      return null;
    case "put":
      await blob.uploadData(Buffer.from("somebody else's"));
      return null;
    case "flip": {
      const bytes = await blob.downloadToBuffer();
      bytes[Number(at)] ^= 1;
      await blob.uploadData(bytes);
      return null;
    }
    case "hash":
      return createHash("sha256").update(await blob.downloadToBuffer()).digest("hex");
  }
}

async function serve(url) {
  const credential = new StorageSharedKeyCredential(account, key);
  const service = new BlobServiceClient(`${url}/${account}`, credential);
  for (const bucket of buckets) {
    await service.createContainer(bucket);
  }
  answer(`${url}/${account}`);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [what, bucket, ...rest] = line.split(" ");
    answer(await does(service.getContainerClient(bucket), what, ...rest));
  }
  process.exit(0);
}

// It says where it listens, and nothing else of it is for anybody.
console.log = (text) => {
  const listens = /successfully listens on (\S+)/.exec(text);
  if (listens) {
    serve(listens[1]).catch((error) => {
      console.error(error);
      process.exit(1);
    });
  }
};
process.argv = [
  process.argv[0],
  "azurite-blob",
  ...["--blobHost", "127.0.0.1", "--blobPort", "0"],
  ...["--inMemoryPersistence", "--silent", "--disableTelemetry"],
  // What a newer client says its version is does not concern whoever tests that client.
  "--skipApiVersionCheck",
];
require("azurite/dist/src/blob/main.js");
