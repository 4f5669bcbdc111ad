"""The published method: ranks raised from one by the similarity of feature maps; and its hybrid."""
