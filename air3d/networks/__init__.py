"""Networks: image encoders and small heads, and how they are kept on disk. They know no scenes."""
