"""What the ablation is made of: its plan, its measures, its statistics, its report."""
