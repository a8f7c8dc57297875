import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import {
  BIND_ADDRESS,
  dockerfileUser,
  duration,
  haproxyReaches,
  judge,
  judgeReach,
  type Model,
  RULES,
  type Service,
  scrapeReaches,
} from "./policy.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(resolve(ROOT, path), "utf8");

/** The model as it runs, with every profile on and with an address that no default has. */
function mergedModel(): Model {
  const json = execFileSync(
    "docker",
    [
      ...["compose", "--project-directory", ROOT, "--env-file", resolve(ROOT, ".env.example"), "--profile", "*"],
      ...["-f", resolve(ROOT, "compose/compose.yaml"), "-f", resolve(ROOT, "compose/monitoring.yaml")],
      ...["config", "--format", "json"],
    ],
    { encoding: "utf8", env: { ...process.env, BIND_ADDRESS, RIAK_IMAGE: "riak:test" }, maxBuffer: 1 << 24 },
  );
  const model = JSON.parse(json) as Model;
  model.imageUsers = {};
  for (const { image, build } of Object.values(model.services)) {
    if (image === undefined || build === undefined) continue;
    const dockerfile = readFileSync(resolve(build.context, build.dockerfile ?? "Dockerfile"), "utf8");
    const user = dockerfileUser(dockerfile, build.target);
    if (user !== undefined) model.imageUsers[image] = user;
  }
  return model;
}

const good: Service = {
  image: "meerkat/sample:dev",
  user: "10001:10001",
  environment: { PASSWORD_FILE: "/run/secrets/sample_password", LEVEL: "warn" },
  healthcheck: { test: ["CMD", "true"], interval: "30s" },
  mem_limit: "67108864",
  pids_limit: 64,
  logging: { driver: "json-file", options: { "max-size": "10m", "max-file": "3" } },
  restart: "unless-stopped",
  cap_drop: ["ALL"],
  security_opt: ["no-new-privileges:true"],
  read_only: true,
  networks: { edge: null },
  ports: [{ target: 5222, host_ip: BIND_ADDRESS }],
};

const networks: Model["networks"] = { edge: {}, app: { internal: true }, ops: { internal: true }, loose: {} };
const withSample = (sample: Service): Model => ({
  services: { sample },
  networks,
  imageUsers: { "meerkat/sample:dev": "10001" },
});

/** For every rule at least one service that breaks it and no other. */
const bad: Record<string, Partial<Record<keyof Service, unknown>>[]> = {
  healthcheck: [
    { healthcheck: undefined },
    { healthcheck: { disable: true } },
    { healthcheck: { test: ["NONE"] } },
    { healthcheck: { test: ["CMD", "true"], interval: "9.9s" } },
  ],
  mem_limit: [{ mem_limit: undefined }, { mem_limit: "0" }],
  pids_limit: [{ pids_limit: undefined }, { pids_limit: -1 }],
  logging: [{ logging: undefined }, { logging: { driver: "json-file", options: { "max-size": "10m" } } }],
  restart: [{ restart: undefined }, { restart: "no" }, { restart: "on-failure" }],
  cap_drop: [{ cap_drop: undefined }, { cap_drop: ["NET_RAW"] }, { privileged: true }],
  cap_add: [{ cap_add: ["NET_ADMIN"] }],
  no_new_privileges: [{ security_opt: undefined }, { security_opt: ["no-new-privileges:false"] }],
  read_only: [{ read_only: undefined }, { read_only: false }],
  user: [{ user: "0" }, { user: "root" }, { user: "0:0" }, { user: undefined, image: "foreign:1" }],
  ports: [
    { networks: { ops: null } },
    { ports: [{ target: 5222, host_ip: "0.0.0.0" }] },
    { ports: [{ target: 5222 }] },
    { ports: [{ target: 9090, host_ip: BIND_ADDRESS }] },
  ],
  networks: [
    { networks: undefined, ports: [] },
    { networks: { default: null }, ports: [] },
    { networks: { edge: null, loose: null } },
    { network_mode: "bridge" },
  ],
  environment: [
    { environment: { REDIS_PASSWORD: "hunter2" } },
    { environment: { TURN_SECRET: "hunter2" } },
    { environment: { ADDRESS: "postgresql://meerkat:hunter2@postgres/meerkat" } },
    { environment: { CERTIFICATE: "-----BEGIN PRIVATE KEY-----" } },
  ],
  image: [{ image: undefined }, { image: "redis" }, { image: "redis:latest" }, { image: "localhost:5000/redis" }],
  depends_on: [{ depends_on: { prometheus: { condition: "service_started" } } }],
};

describe("the rules", () => {
  it("find nothing in a service that keeps to all of them", () => {
    assert.deepEqual(judge(withSample(good)), []);
  });

  for (const rule of Object.keys(RULES)) {
    it(`find what breaks ${rule}, and only that`, () => {
      const samples = bad[rule] ?? [];
      assert.notEqual(samples.length, 0, "no bad sample");
      for (const sample of samples) {
        const findings = judge(withSample({ ...good, ...sample } as Service));
        assert.deepEqual(
          findings.map((finding) => finding.split(" ")[0]),
          [rule],
          JSON.stringify(sample),
        );
      }
    });
  }

  it("let a service off that says why, and nothing else", () => {
    const labels = { "meerkat.policy.read_only": "writes its configuration beside its program" };
    assert.deepEqual(judge(withSample({ ...good, read_only: false, labels })), []);
    assert.equal(judge(withSample({ ...good, read_only: false, cap_drop: [], labels })).length, 1);
  });

  it("take the user of the image where the service names none", () => {
    assert.deepEqual(judge(withSample({ ...good, user: undefined } as unknown as Service)), []);
    const stages = "FROM x AS base\nUSER 7\nFROM base AS first\nRUN a\nFROM base AS second\nUSER root\nUSER 9:9\n";
    assert.equal(dockerfileUser(stages, "first"), "7");
    assert.equal(dockerfileUser(stages, "second"), "9:9");
    assert.equal(dockerfileUser(stages), "9:9");
    assert.equal(dockerfileUser("FROM x\nRUN a\n"), undefined);
  });

  it("do not take an excuse that is not needed", () => {
    assert.deepEqual(judge(withSample({ ...good, labels: { "meerkat.policy.read_only": "a reason that is long" } })), [
      "read_only sample: keeps the rule and needs no excuse",
    ]);
  });

  it("do not take an excuse without a reason, or from a rule that does not exist", () => {
    assert.deepEqual(judge(withSample({ ...good, read_only: false, labels: { "meerkat.policy.read_only": "" } })), [
      "read_only sample: the label gives no reason",
    ]);
    assert.deepEqual(judge(withSample({ ...good, labels: { "meerkat.policy.readonly": "a reason that is long" } })), [
      "readonly sample: there is no such rule",
    ]);
  });

  it("read durations as compose prints them", () => {
    assert.equal(duration("1m30s"), 90);
    assert.equal(duration("500ms"), 0.5);
    assert.equal(duration("10s"), 10);
  });
});

describe("who reaches whom", () => {
  const model: Model = {
    services: {
      prometheus: { networks: { ops: null } },
      "blackbox-exporter": { networks: { ops: null, data: null } },
      haproxy: { networks: { edge: null, app: null } },
      meerkat: { networks: { app: { aliases: ["nodes"] }, ops: { aliases: ["nodes-ops"] } } },
      openldap: { networks: { data: null } },
    },
  };

  it("accepts a service or an alias on a common network", () => {
    assert.deepEqual(judgeReach(model, [{ from: "haproxy", host: "nodes", where: "x" }]), []);
    assert.deepEqual(judgeReach(model, [{ from: "prometheus", host: "nodes-ops", where: "x" }]), []);
    assert.deepEqual(judgeReach(model, [{ from: "haproxy", host: "meerkat", where: "x" }]), []);
  });

  it("finds a name that nobody has, and one on another network", () => {
    assert.match(
      judgeReach(model, [{ from: "haproxy", host: "node", where: "x" }])[0] ?? "",
      /no service and no alias/,
    );
    assert.match(
      judgeReach(model, [{ from: "prometheus", host: "openldap", where: "x" }])[0] ?? "",
      /prometheus is not/,
    );
    // An alias belongs to one network: the name `nodes` gives no address on ops.
    assert.match(judgeReach(model, [{ from: "prometheus", host: "nodes", where: "x" }])[0] ?? "", /prometheus is not/);
    assert.match(judgeReach(model, [{ from: "nobody", host: "nodes", where: "x" }])[0] ?? "", /no such service/);
  });

  it("reads direct, discovered and indirect scrape targets", () => {
    const config = {
      scrape_configs: [
        { job_name: "a", static_configs: [{ targets: ["haproxy:8405", "localhost:9090"] }] },
        { job_name: "b", dns_sd_configs: [{ names: ["nodes-ops"] }] },
        {
          job_name: "c",
          static_configs: [{ targets: ["redis://redis-1:6379"] }],
          relabel_configs: [{ target_label: "__address__", replacement: "redis-exporter:9121" }],
        },
      ],
    };
    assert.deepEqual(
      scrapeReaches(config).map(({ from, host }) => `${from} ${host}`),
      ["prometheus haproxy", "prometheus nodes-ops", "prometheus redis-exporter", "redis-exporter redis-1"],
    );
  });

  it("reads servers and templates of HAProxy, and no comment", () => {
    const config =
      "  server-template node 9 nodes:5222 check\n  server grafana grafana:3000 check\n  # server old old:1\n";
    assert.deepEqual(
      haproxyReaches(config).map(({ host }) => host),
      ["nodes", "grafana"],
    );
  });
});

describe("the datacenter", () => {
  const model = mergedModel();

  it("has every service that the monitoring list names", () => {
    for (const name of ["haproxy", "meerkat", "postgres", "prometheus", "prober", "grafana", "mariadb"])
      assert.ok(name in model.services, `${name} is missing from the merged model`);
  });

  it("keeps every rule in every service, or says why not", () => {
    assert.deepEqual(judge(model), []);
  });

  it("has a reachable service behind every scrape target", () => {
    const config = parse(read("monitoring/prometheus/prometheus.yml")) as Parameters<typeof scrapeReaches>[0];
    const reaches = scrapeReaches(config);
    assert.ok(reaches.length > 20, `only ${reaches.length} targets read`);
    assert.deepEqual(judgeReach(model, reaches), []);
  });

  it("has a reachable service behind every server of HAProxy", () => {
    const reaches = haproxyReaches(read("loadbalancer/haproxy.cfg"));
    assert.ok(reaches.length > 3, `only ${reaches.length} servers read`);
    assert.deepEqual(judgeReach(model, reaches), []);
    const stores = haproxyReaches(read("compose/postgres/haproxy.cfg"), "postgres", "compose/postgres/haproxy.cfg");
    assert.equal(stores.length, 7, "two servers, and five that have metrics");
    assert.deepEqual(judgeReach(model, stores), []);
  });
});
