// What a user of the npm client does, in steps: node client.mjs BASE-URL TOKEN STEP
//
// The client has no call for changing an output profile; one is changed by delete and create.
// It takes and sends what the engine 0.21 does: arrays for creation, PATCH for an application.
import sdk from "ovenmediaengine-ts-sdk";

const [baseURL, token, step] = process.argv.slice(2);
const client = new sdk.default({ baseURL });
client.setVersion("/v1");
client.setAuthorization(token);

const HOST = { name: "shop", host: { names: ["shop.example.com"] }, distribution: "spring" };
const APP = {
  name: "fair",
  type: "live",
  providers: { rtmp: {}, srt: {} },
  publishers: { llhls: { segmentDuration: 4 }, webrtc: { timeout: 30000 } },
};
const PROFILE = {
  name: "copy",
  outputStreamName: "${OriginStreamName}_copy",
  encodes: { videos: [{ name: "v", bypass: true }], audios: [{ name: "a", bypass: true }] },
};

const steps = {
  async create() {
    return [
      await client.createVirtualHost([HOST]),
      await client.createApp("shop", [APP]),
      await client.createOutputProfile("shop", "fair", [PROFILE]),
      await client.createApp("default", [{ ...APP, name: "guest" }]),
      await client.createOutputProfile("default", "app", [PROFILE]),
    ];
  },
  async read() {
    return [
      await client.getVirtualHosts(),
      await client.getVirtualHost("shop"),
      await client.getApps("shop"),
      await client.getApp("shop", "fair"),
      await client.getOutputProfiles("shop", "fair"),
      await client.getOutputProfile("shop", "fair", "copy"),
      await client.getApps("default"),
      await client.getApp("default", "guest"),
      await client.getApp("default", "app"),
      await client.getOutputProfile("default", "app", "copy"),
    ];
  },
  async patch() {
    return [
      await client.patchApp("shop", "fair", { publishers: { llhls: { segmentDuration: 6 } } }),
      await client.patchApp("default", "guest", { providers: { srt: null } }),
    ];
  },
  async delete() {
    return [
      await client.deleteOutputProfile("default", "app", "copy"),
      await client.deleteApp("default", "guest"),
      await client.deleteOutputProfile("shop", "fair", "copy"),
      await client.deleteApp("shop", "fair"),
      await client.deleteVirtualHost("shop"),
    ];
  },
  async missing() {
    const found = await Promise.allSettled([
      client.getVirtualHost("shop"),
      client.getApp("default", "guest"),
      client.getOutputProfile("default", "app", "copy"),
    ]);
    return found.map((each) => each.reason.response);
  },
};

const answers = await steps[step]();
console.log(JSON.stringify(answers.map(({ status, data }) => ({ status, data }))));
