// What `@parley/client/node` exports: what needs Bun or Node, apart from what runs everywhere.
export { fileStorage } from "./file-storage";
