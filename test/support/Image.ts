/**
 * The image of the Dockerfile's steps, built without a container engine: each step runs as the user that it names, in a
 * root folder with this machine's system (read-only) and this Node. The libraries that Node is linked with stand in for
 * a base image without a shell.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import {
  bind,
  Container,
  inside,
  nodePath,
  quoted,
  readOnly,
  run,
  separate,
  type State
} from "./Container.ts"
import { execForm, parseDockerfile, type Stage, type Step } from "./Dockerfile.ts"

/** Top folders of this machine that make a system with a shell; some are links to others. */
const systemFolders = ["bin", "sbin", "lib", "lib32", "lib64", "usr", "etc", "opt"]

export class Image implements Disposable {
  readonly folder: string
  readonly stages: ReadonlyArray<Stage>
  readonly final: Stage
  readonly root: string
  readonly #context: string
  readonly #state: State

  /** Builds, or fails with the output of the step that failed. */
  constructor(context: string) {
    this.#context = context
    this.folder = fs.mkdtempSync(join(tmpdir(), "loteria-image-"))
    fs.chmodSync(this.folder, 0o755)
    this.stages = parseDockerfile(fs.readFileSync(join(context, "Dockerfile"), "utf8"))
    const roots = new Map<string, string>()
    let state: State = { user: "0:0", folder: "/", environment: {} }
    let root = ""
    try {
      for (const [index, stage] of this.stages.entries()) {
        root = join(this.folder, stage.name ?? `stage-${index}`)
        state = { user: "0:0", folder: "/", environment: {} }
        fs.mkdirSync(root)
        if (stage.base.startsWith("node:")) this.#layOutSystem(root)
        else this.#layOutLibraries(root)
        for (const step of stage.steps) this.#take(step, root, state, roots)
        roots.set(stage.name ?? String(index), root)
      }
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
    const final = this.stages.at(-1)
    if (final === undefined) throw new Error("the Dockerfile has no stage")
    this.final = final
    this.root = root
    this.#state = state
  }

  get user(): string {
    return this.#state.user
  }

  /** Starts a container; without a command, with the image's. */
  start(
    command: ReadonlyArray<string>,
    environment: Readonly<Record<string, string>>,
    mounts: Readonly<Record<string, string>>
  ): Container {
    const words = [
      ...execForm(this.final, "ENTRYPOINT"),
      ...(command.length === 0 ? execForm(this.final, "CMD") : command)
    ]
    const state = {
      ...this.#state,
      environment: { ...this.#state.environment, ...environment }
    }
    return Container.start(this.root, state, words, mounts)
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.folder, { recursive: true, force: true })
  }

  #take(step: Step, root: string, state: State, roots: ReadonlyMap<string, string>): void {
    const { flags, instruction, text } = step
    switch (instruction) {
      case "USER":
        state.user = text
        return
      case "WORKDIR":
        state.folder = text
        fs.mkdirSync(join(root, text), { recursive: true })
        return
      case "ENV":
        for (const pair of text.split(/ +/)) {
          const [name = "", ...value] = pair.split("=")
          state.environment[name] = value.join("=")
        }
        return
      case "COPY":
        return this.#copy(text.split(/ +/), flags, root, state, roots)
      case "RUN":
        this.#runStep(text, root, state)
        return
      case "LABEL":
      case "EXPOSE":
      case "STOPSIGNAL":
      case "HEALTHCHECK":
      case "ENTRYPOINT":
      case "CMD":
        return
      default:
        throw new Error(`no idea of ${instruction}`)
    }
  }

  #copy(
    places: ReadonlyArray<string>,
    flags: Step["flags"],
    root: string,
    state: State,
    roots: ReadonlyMap<string, string>
  ): void {
    const target = join(root, join(state.folder, places.at(-1) ?? ""))
    const from = flags["from"] === undefined ? this.#context : roots.get(flags["from"]) ?? ""
    const intoFolder = places.at(-1)?.endsWith("/") === true || places.length > 2
    for (const source of places.slice(0, -1)) {
      if (from === this.#context) this.#expectInContext(source)
      const to = intoFolder ? join(target, basename(source)) : target
      fs.mkdirSync(dirname(to), { recursive: true })
      // The binary is mounted over this place, here as in the stage that it comes from.
      if (source === nodePath) fs.writeFileSync(to, "")
      else run("cp", ["-R", "-T", "--preserve=mode", join(from, source), to])
      run("chown", ["-R", flags["chown"] ?? "0:0", to])
    }
  }

  /** `.dockerignore` leaves everything out but what it names. */
  #expectInContext(source: string): void {
    const lines = fs.readFileSync(join(this.#context, ".dockerignore"), "utf8").split("\n")
    if (!lines.includes("*") || !lines.includes(`!${source}`)) {
      throw new Error(`${source} is not in the build's context (.dockerignore)`)
    }
  }

  #runStep(text: string, root: string, state: State): void {
    const local = join(root, "usr/local")
    const npmCache = join(root, "npm-cache")
    const npm = join(dirname(fs.realpathSync(run("which", ["npm"]).trim())), "..")
    const [cache = "", registry = "", authorities = ""] = ["cache", "registry", "cafile"].map((
      key
    ) => run("npm", ["config", "get", key]).trim())
    const script = [
      "set -e",
      ...systemFolders.flatMap((name) => {
        const target = join(root, name)
        return fs.lstatSync(target, { throwIfNoEntry: false })?.isDirectory() === true
          ? [bind(`/${name}`, target), readOnly(target)]
          : []
      }),
      `mount -t tmpfs tmpfs ${quoted(local)}`,
      `mkdir -p ${quoted(local)}/bin ${quoted(local)}/lib/npm`,
      `touch ${quoted(local)}/bin/node`,
      bind(process.execPath, `${local}/bin/node`),
      bind(npm, `${local}/lib/npm`),
      `ln -s ../lib/npm/bin/npm-cli.js ${quoted(local)}/bin/npm`,
      `mount --rbind /dev ${quoted(join(root, "dev"))}`,
      `mount -t proc proc ${quoted(join(root, "proc"))}`,
      // What npm has on this machine is there, and what it adds is thrown away.
      `mount -t tmpfs tmpfs ${quoted(npmCache)}`,
      `mkdir -p ${quoted(npmCache)}/upper ${quoted(npmCache)}/work ${quoted(npmCache)}/all`,
      `mount -t overlay overlay -o ${
        quoted(`lowerdir=${cache},upperdir=${npmCache}/upper,workdir=${npmCache}/work`)
      } ${quoted(npmCache)}/all || true`,
      `find ${quoted(npmCache)}/all \\( -type d -o -path "*/index-v5/*" \\) -exec chmod a+rwX {} +`,
      `exec "$@"`
    ].join("\n")
    const environment = {
      ...state.environment,
      npm_config_registry: registry,
      ...(fs.existsSync(authorities) ? { npm_config_cafile: authorities } : {}),
      // A machine may know its registry by certificates that Node doesn't come with.
      NODE_EXTRA_CA_CERTS: process.env["NODE_EXTRA_CA_CERTS"] ?? "",
      npm_config_fetch_retries: "1",
      npm_config_cache: "/npm-cache/all",
      npm_config_prefer_offline: "true",
      npm_config_update_notifier: "false"
    }
    const step = [...inside(root, { ...state, environment }), "sh", "-c", text]
    run("env", [...separate, "sh", "-c", script, "build", ...step])
  }

  /** The machine's system, as links and empty folders to mount it on. */
  #layOutSystem(root: string): void {
    for (const name of systemFolders.filter((folder) => fs.existsSync(`/${folder}`))) {
      if (fs.lstatSync(`/${name}`).isSymbolicLink()) {
        fs.symlinkSync(fs.readlinkSync(`/${name}`), join(root, name))
      } else fs.mkdirSync(join(root, name))
    }
    for (const name of ["dev", "proc", "npm-cache"]) fs.mkdirSync(join(root, name))
    fs.mkdirSync(join(root, "tmp"))
    fs.chmodSync(join(root, "tmp"), 0o1777)
  }

  /** What a base image without a shell has for Node: the libraries that it is linked with. */
  #layOutLibraries(root: string): void {
    for (const [library] of run("ldd", [process.execPath]).matchAll(/\/\S+/g)) {
      const target = join(root, library)
      fs.mkdirSync(dirname(target), { recursive: true })
      fs.copyFileSync(library, target)
    }
  }
}
