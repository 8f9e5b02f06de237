"""Networks: image encoders and small heads. They know no scenes."""
