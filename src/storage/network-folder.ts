// Whether a folder is on a file system of the network: SQLite's locks and its shared memory do not work there.
// Asked before several nodes share a file.
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";

/** Linux' numbers of file systems that may be mounted on several hosts. */
const networkTypes: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x51_7b, "SMB"],
  [0xfe_53_4d_42, "SMB"],
  [0xff_53_4d_42, "CIFS"],
  [0x01_02_19_97, "9p"],
  [0x00_c3_64_00, "Ceph"],
  [0x0b_d0_0b_d0, "Lustre"],
  [0x47_50_46_53, "GPFS"],
  [0x01_16_19_70, "GFS2"],
  [0x74_61_63_6f, "OCFS2"],
  [0x53_46_41_4f, "AFS"],
  [0x73_75_72_45, "Coda"],
]);

/** What kind of network file system holds `file`, which need not be there yet; null: none, or the system does not say. */
export async function networkFileSystem(file: string): Promise<string | null> {
  try {
    return networkTypeName((await statfs(dirname(file))).type);
  } catch {
    return null;
  }
}

/** The name of a type as `statfs` gives it, signed or not; null where it is not one of the network. */
export function networkTypeName(type: number): string | null {
  return networkTypes.get(type >>> 0) ?? null;
}
